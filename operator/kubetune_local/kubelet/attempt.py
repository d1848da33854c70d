"""One start of one container, as it stands on disk: it is found again after a restart of the kubelet."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

SHIM = Path(__file__).with_name("shim.py")
POLL_SECONDS = 0.005
WATCH_SECONDS = 0.05


@dataclass(frozen=True)
class Orders:
    """What a container's process is."""

    command: list[str]
    environment: dict[str, str]
    working_directory: str
    nice: int = 5
    """The API server and the controllers answer while pods compute."""
    oom_score: int = 500
    """When the machine runs out of memory the kernel takes pods first."""
    log_bytes: int = 10 * 2**20
    alive_seconds: float = 120.0
    """The container ends when its kubelet gave no sign of life for so long."""
    grace_seconds: float = 30.0


@dataclass(frozen=True)
class Exit:
    """How a container ended."""

    code: int
    signal: int = 0
    started_at: str = ""
    finished_at: str = ""
    oom_killed: bool = False
    error: str = ""
    """Why the process could not be started."""
    lost: bool = False
    """Nobody saw the end: the process that kept the container was killed."""

    @property
    def seconds(self) -> float:
        """How long it ran; 0 when that is not known."""
        if not self.started_at or not self.finished_at:
            return 0.0
        begin, end = (datetime.fromisoformat(stamp[:26]) for stamp in (self.started_at, self.finished_at))
        return (end - begin).total_seconds()


class Attempt:
    """A start of a container; `directory` holds its log, its termination message and the notes of its shim."""

    def __init__(self, directory: Path, number: int) -> None:
        self.directory = directory
        self.number = number
        self.exit: Exit | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """The newer of at most two log files."""
        return self.directory / "log"

    @property
    def termination_log(self) -> Path:
        """File that the container may leave its last words in."""
        return self.directory / "termination-log"

    @property
    def started_at(self) -> str:
        """When the process was started; empty before."""
        return str(self._shim().get("startedAt", ""))

    @property
    def start_error(self) -> str:
        """Why the process could not be started; empty when it could."""
        return str(self._shim().get("error", ""))

    @property
    def pid(self) -> int | None:
        """Pid of the shim; its descendants are the container."""
        return self._process.pid if self._process else self._shim().get("pid")

    def _shim(self) -> dict[str, Any]:
        return _read(self.directory / "shim.json") or {}

    async def start(self, orders: Orders, alive: Path) -> None:
        """Start the shim and wait until it has started the container, or failed to."""
        self.directory.mkdir(parents=True)
        self.termination_log.touch(mode=0o600)
        self._process = self._spawn(orders, alive)
        while True:
            if (self.directory / "shim.json").exists() or self._process.poll() is not None:
                return
            await asyncio.sleep(POLL_SECONDS)

    def _spawn(self, orders: Orders, alive: Path) -> subprocess.Popen[bytes]:
        lock = _take(self.directory)
        assert lock is not None, "two kubelets work in one directory"
        document = {
            "directory": str(self.directory),
            "lock": lock,
            "command": orders.command,
            "environment": orders.environment,
            "workingDirectory": orders.working_directory,
            "nice": orders.nice,
            "oomScore": orders.oom_score,
            "logBytes": orders.log_bytes,
            "alive": str(alive),
            "aliveSeconds": orders.alive_seconds,
            "graceSeconds": orders.grace_seconds,
        }
        try:
            with (self.directory / "shim.log").open("wb") as errors:
                process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(SHIM)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    pass_fds=(lock,),
                    start_new_session=True,
                )
        finally:
            os.close(lock)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(document).encode())
            process.stdin.close()
        return process

    async def wait(self) -> Exit:
        """Return how the container ended, as soon as it has."""
        if self.exit is None:
            pid = self.pid
            if pid is not None and self.runs():
                await _gone(pid, self)
            if self._process is not None:
                self._process.poll()
            self.exit = self._outcome()
        return self.exit

    def runs(self) -> bool:
        """Tell whether the shim lives: it holds the lock of its directory, and the lock dies with it."""
        lock = _take(self.directory)
        if lock is None:
            return True
        os.close(lock)
        return False

    def _outcome(self) -> Exit:
        found = _read(self.directory / "exit.json")
        if found is None:
            return Exit(137, started_at=self.started_at, lost=True)
        return Exit(
            found["exitCode"],
            found["signal"],
            found["startedAt"],
            found["finishedAt"],
            found["oomKilled"],
            found["error"],
        )

    def terminate(self) -> None:
        """SIGTERM to the container's process."""
        self._signal(signal.SIGTERM)

    def kill(self, *, oom: bool = False) -> None:
        """SIGKILL to everything in the container; `oom` says that it took more memory than it may."""
        self._signal(signal.SIGUSR2 if oom else signal.SIGUSR1)

    def _signal(self, number: signal.Signals) -> None:
        pid = self.pid
        if pid is not None and self.exit is None and self.runs():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def message(self, *, from_log: bool) -> str:
        """Return the termination message: the file, or the end of the log when the file is empty and `from_log`."""
        try:
            text = self.termination_log.read_bytes()[:4096].decode("utf-8", "replace")
        except OSError:
            text = ""
        if text or not from_log:
            return text
        from .logfile import last_lines

        return "\n".join(last_lines(self.log, 80))[-2048:]


def attempts_in(directory: Path) -> list[Attempt]:
    """Return the attempts of a container that are on disk, oldest first; one that was never begun is removed."""
    found = []
    numbers = sorted(int(entry.name) for entry in directory.iterdir()) if directory.exists() else []
    for number in numbers:
        attempt = Attempt(directory / str(number), number)
        if not (attempt.directory / "shim.json").exists() and not attempt.runs():
            shutil.rmtree(attempt.directory)
            continue
        found.append(attempt)
    return found


async def _gone(pid: int, attempt: Attempt) -> None:
    """Return when the process has ended."""
    if not hasattr(os, "pidfd_open"):
        while attempt.runs():
            if attempt._process is not None:
                attempt._process.poll()
            await asyncio.sleep(WATCH_SECONDS)
        return
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _take(directory: Path) -> int | None:
    """Take the lock of an attempt; None when its shim holds it. The caller closes what is returned."""
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return found
