"""Starts operators in a tenth of a second: a process that has imported everything forks one when it is told to.

Each is a process of its own that may be killed at any moment; only the reading of Python modules is shared. Run as
`python nursery.py`: one JSON line {"environ": {...}, "log": path} in, the pid out.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

_PDEATHSIG = 1


def serve() -> None:
    """Fork an operator for each line."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    import kopf  # noqa: F401
    from kubernetes.aio.client import api_client  # noqa: F401
    from kubernetes.aio.config import kube_config  # noqa: F401

    import kubetune_operator.__main__ as operator
    import kubetune_operator.logs
    import kubetune_operator.runtime  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _tie()
    print("ready", flush=True)
    while line := sys.stdin.readline():
        order = json.loads(line)
        if (pid := os.fork()) == 0:
            _become(order["environ"], order["log"])
            if wedge := order.get("wedge"):
                from chaos.harness.wedges import WEDGES

                WEDGES[wedge[0]](wedge[1])
            code = 70
            try:
                code = operator.main()
            finally:
                sys.stdout.flush()
                os._exit(code)
        print(pid, flush=True)


def _tie() -> None:
    """Die with the parent, however it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _become(environ: dict[str, str], log: str) -> None:
    os.setsid()
    _tie()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environ)
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(target, 1)
    os.dup2(target, 2)


class Nursery:
    """The process that forks."""

    def __init__(self, environ: dict[str, str], always: dict[str, str] | None = None) -> None:
        self._always = always or {}
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read() == "ready", "the nursery did not start"

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def bear(self, environ: dict[str, str], log: Path, wedge: tuple[str, str] | None = None) -> Child:
        """Start an operator; `wedge` names one of `wedges.WEDGES`, and the file that sets it off."""
        order: dict[str, Any] = {"environ": environ | self._always, "log": str(log), "wedge": wedge}
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return Child(int(self._read()))

    def close(self) -> None:
        """End it; its children are ended by whoever started them."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


class Child:
    """A process that is not ours to wait for."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def running(self) -> bool:
        """Tell whether it is there."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def send(self, number: signal.Signals) -> None:
        """Send a signal; one that has ended does not mind."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return

    def wait(self, seconds: float) -> bool:
        """Return whether it is gone in time."""
        deadline = time.monotonic() + seconds
        while self.running():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True


if __name__ == "__main__":
    serve()
