"""Pods as processes of this machine: forked from one that has read torch already, so that each starts at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(["kubetune_trainer.recipes.train", "transformers.models.llama.modeling_llama"])


class Pod:
    """A trainer of its own, that may be stopped, frozen or killed."""

    def __init__(self, run_file: Path, environment: dict[str, str], log: Path, patch: str = "") -> None:
        """Start it; `patch` is executed in it before the trainer is."""
        path, os.environ["PYTHONPATH"] = os.environ.get("PYTHONPATH"), environment["PYTHONPATH"]
        try:
            self._process = _FORKS.Process(target=_become, args=(run_file, environment, log, patch))
            self._process.start()
        finally:
            del os.environ["PYTHONPATH"]
            if path is not None:
                os.environ["PYTHONPATH"] = path

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        return self._process.exitcode

    def wait(self, seconds: float) -> int:
        """Return the exit code, when it has ended in time."""
        self._process.join(seconds)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, seconds)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """End it at once, and wait until it has."""
        self._process.kill()
        self._process.join(60)


def _become(run_file: Path, environment: dict[str, str], log: Path, patch: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number in (1, 2):
        os.dup2(target, number)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115

    import torch

    from kubetune_trainer import __main__ as entry
    from kubetune_trainer.engine import rendezvous, watchdog

    torch.set_num_threads(1)
    exec(patch, {"os": os, "time": time, "rendezvous": rendezvous, "watchdog": watchdog})
    sys.exit(entry.main([str(run_file)]))
