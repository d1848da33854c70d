"""A process of the tests: its log, its readiness, and the ways it may be ended."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SOURCES = os.pathsep.join(str(ROOT / room) for room in ("crds", "operator", "trainer"))


def environment(**more: str) -> dict[str, str]:
    """Return the environment for programs of this checkout, without settings of whoever runs the tests."""
    base = {name: value for name, value in os.environ.items() if not name.startswith("KUBETUNE_")}
    return base | {"PYTHONPATH": SOURCES} | more


def until(what: str, condition: Callable[[], object], seconds: float) -> None:
    """Return when `condition` holds. Raises `AssertionError` when it does not in time."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not after {seconds:.0f} s"
        pause.wait(0.02)


class Process:
    """A program that runs in the background."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Pid of the running process."""
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    def running(self) -> bool:
        """Tell whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self, command: list[str], environ: Mapping[str, str], ready: Callable[[], bool], seconds: float) -> None:
        """Start it and wait until it is ready; its output is added to the log."""
        assert not self.running(), f"{self.name} runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=dict(environ), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

        def up() -> bool:
            assert self.running(), f"{self.name} ended:\n{self.tail()}"
            return ready()

        until(f"{self.name} is ready (log {self.log})", up, seconds)

    def tail(self, lines: int = 20) -> str:
        """Return the end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, as a crash would end it."""
        self._end(signal.SIGKILL)

    def terminate(self, seconds: float = 20) -> None:
        """SIGTERM; SIGKILL when it does not go in time."""
        self._end(signal.SIGTERM, seconds)

    def _end(self, number: signal.Signals, seconds: float = 20) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
