"""Keeps one container: starts its process, writes its log, reaps its descendants, and notes how it ended.

It is a process of its own, so that containers and their logs outlive a restart of the kubelet. It is run as a file by
an isolated interpreter (`python -I -S shim.py`) and imports the standard library only, which costs 20 ms and 8 MiB.

It reads its orders as JSON from standard input. Signals: SIGTERM passes SIGTERM on to the container's process,
SIGUSR1 kills everything in the container, SIGUSR2 does too and notes that it was for want of memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import sys
import time
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LONGEST_LINE = 16 * 1024
CHUNK = 64 * 1024
TICK_SECONDS = 1.0


def main() -> int:
    """Run the container to its end."""
    orders = json.load(sys.stdin)
    sys.stdin.close()
    os.set_inheritable(orders["lock"], False)
    Shim(orders).run()
    return 0


class Shim:
    """One container, from its start to its note of the end."""

    def __init__(self, orders: dict[str, Any]) -> None:
        self.orders = orders
        self.directory = Path(orders["directory"])
        self.log = ContainerLog(self.directory / "log", orders["logBytes"])
        self.alive = Liveness(Path(orders["alive"]), orders["aliveSeconds"])
        self.main = 0
        self.early: list[int] = []
        self.status: int | None = None
        self.oom = False
        self.kill_at: float | None = None

    def run(self) -> None:
        """Start, follow, clean up, note the end."""
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        wakeup, signals = os.pipe()
        os.set_blocking(signals, False)
        os.set_blocking(wakeup, False)
        signal.set_wakeup_fd(signals, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD):
            signal.signal(number, self._on_signal)
        started = now()
        output, error = self._start()
        note(self.directory / "shim.json", {"pid": os.getpid(), "startedAt": started, "error": error})
        if not error:
            self._follow(output, wakeup)
        self._end_descendants()
        self._drain(output)
        self.log.close()
        code = os.waitstatus_to_exitcode(self.status) if self.status is not None else 127
        end = {
            "exitCode": code if code >= 0 else 128 - code,
            "signal": max(0, -code),
            "startedAt": started,
            "finishedAt": now(),
            "oomKilled": self.oom,
            "error": error,
        }
        note(self.directory / "exit.json", end)

    def _on_signal(self, number: int, frame: object) -> None:
        if number == signal.SIGTERM:
            self._send(signal.SIGTERM)
        elif number in (signal.SIGUSR1, signal.SIGUSR2):
            self.oom = self.oom or number == signal.SIGUSR2
            self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        """Signal the container's process; its pid cannot have been reused, for only we reap it."""
        if not self.main:
            self.early.append(number)
        elif self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.main, number)

    def _start(self) -> tuple[int, str]:
        """Start the process; return the read end of its output, and why it could not be started."""
        output, writer = os.pipe()
        failure, report = os.pipe()
        self.main = os.fork()
        if self.main == 0:
            become(self.orders, writer, report)
        os.close(writer)
        os.close(report)
        with os.fdopen(failure) as pipe:
            error = pipe.read()
        for number in self.early:
            self._send(number)
        return output, error

    def _follow(self, output: int, wakeup: int) -> None:
        """Copy output to the log until the process ends."""
        selector = selectors.DefaultSelector()
        selector.register(output, selectors.EVENT_READ)
        selector.register(wakeup, selectors.EVENT_READ)
        while self.status is None:
            for key, _ in selector.select(TICK_SECONDS):
                data = os.read(key.fd, CHUNK)
                if key.fd == output:
                    self.log.write(data)
                    if not data:
                        selector.unregister(output)
            self._reap()
            self._check_kubelet()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.main:
                self.status = status

    def _check_kubelet(self) -> None:
        """End the container as a deletion would when its kubelet is gone for good: nobody else will."""
        if self.kill_at is not None:
            if time.monotonic() > self.kill_at:
                self._send(signal.SIGKILL)
        elif self.alive.lost():
            self.kill_at = time.monotonic() + self.orders["graceSeconds"]
            self._send(signal.SIGTERM)

    def _end_descendants(self) -> None:
        """Kill what the container left behind; orphans come to us, so the loop ends when nobody is left."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.main, signal.SIGKILL)
        while True:
            for orphan in children():
                os.kill(orphan, signal.SIGKILL)
            try:
                pid, status = os.waitpid(-1, 0)
            except ChildProcessError:
                return
            if pid == self.main:
                self.status = status

    def _drain(self, output: int) -> None:
        """Write what is left in the pipe; where orphans cannot be found they may hold it open, so do not wait."""
        os.set_blocking(output, False)
        try:
            while data := os.read(output, CHUNK):
                self.log.write(data)
        except BlockingIOError:
            return


class ContainerLog:
    """The log as a container runtime writes it: `TIME stdout F LINE`; at most two files of the given size."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.limit = limit
        self.pending = b""
        self._open()

    def _open(self) -> None:
        self.file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.size = os.fstat(self.file).st_size

    def write(self, data: bytes) -> None:
        """Add output; a line is written when it is complete, or longer than a runtime would buffer."""
        *lines, self.pending = (self.pending + data).split(b"\n")
        stamp = now().encode()
        parts = [part for line in lines for part in record(stamp, line, b"F")]
        while len(self.pending) > LONGEST_LINE:
            parts.append(b"%s stdout P %s\n" % (stamp, self.pending[:LONGEST_LINE]))
            self.pending = self.pending[LONGEST_LINE:]
        self._append(b"".join(parts))

    def close(self) -> None:
        """Write a last line that has no end."""
        if self.pending:
            self._append(b"".join(record(now().encode(), self.pending, b"P")))
            self.pending = b""
        os.close(self.file)

    def _append(self, data: bytes) -> None:
        if not data:
            return
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self.file, view) :]
        except OSError:  # a full disk must not end the container
            return
        self.size += len(data)
        if self.size > self.limit:
            os.close(self.file)
            self.path.replace(self.path.with_name(self.path.name + ".1"))
            self._open()


def record(stamp: bytes, line: bytes, tag: bytes) -> list[bytes]:
    """Return a line as records, all but the last partial."""
    cuts = [line[at : at + LONGEST_LINE] for at in range(0, len(line), LONGEST_LINE)] or [b""]
    partial = [b"%s stdout P %s\n" % (stamp, cut) for cut in cuts[:-1]]
    return [*partial, b"%s stdout %s %s\n" % (stamp, tag, cuts[-1])]


class Liveness:
    """Tells whether the kubelet still touches its file. Counts awake time: a sleeping laptop loses no pods."""

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.seconds = path, seconds
        self.touched, self.seen = self._touched(), time.monotonic()

    def _touched(self) -> int:
        try:
            return self.path.stat().st_mtime_ns
        except OSError:
            return 0

    def lost(self) -> bool:
        """True when the file was not touched for the given time."""
        touched = self._touched()
        if touched != self.touched:
            self.touched, self.seen = touched, time.monotonic()
        return time.monotonic() - self.seen > self.seconds


def become(orders: dict[str, Any], output: int, report: int) -> None:
    """In the forked child: become the container's process. Never returns."""
    step = "prepare the process"
    try:
        os.setsid()
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            with contextlib.suppress(OSError):
                Path("/proc/self/oom_score_adj").write_text(str(orders["oomScore"]))
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, null), (1, output), (2, output)):
            os.dup2(source, target)
        os.nice(orders["nice"])
        step = f"enter the working directory {orders['workingDirectory']}"
        os.chdir(orders["workingDirectory"])
        step = f"run {orders['command'][0]!r}"
        os.execvpe(orders["command"][0], orders["command"], orders["environment"])
    except OSError as error:
        os.write(report, f"cannot {step}: {error.strerror}".encode())
    finally:
        os._exit(127)


def children() -> list[int]:
    """Pids of our children; empty where the system does not tell."""
    try:
        text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    except OSError:
        return []
    return [int(pid) for pid in text.split()]


def now() -> str:
    """The present in RFC 3339 with nanoseconds."""
    whole, fraction = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{fraction:09d}Z"


def note(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file atomically."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content))
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main())
