"""Programs that the scenarios call, with a bound on each call."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
#: A slow or busy machine gets more time for everything: E2E_PATIENCE=3.
PATIENCE = float(os.environ.get("E2E_PATIENCE", "1"))
ROOT = Path(__file__).resolve().parents[3]


def program(name: str) -> str:
    """Return the path of a program: of $KUBEBUILDER_ASSETS, or of the PATH.

    Raises:
        AssertionError: neither has it.
    """
    beside = Path(os.environ.get("KUBEBUILDER_ASSETS", "/nowhere")) / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    assert found, f"{name} is missing: install it, or let KUBEBUILDER_ASSETS name a folder that has it"
    return found


def run(*command: str, seconds: float = 60, stdin: str | None = None, environ: Mapping[str, str] | None = None) -> str:
    """Run a program; return what it printed.

    Raises:
        AssertionError: it failed, or did not end in time.
    """
    seconds *= PATIENCE
    try:
        done = subprocess.run(
            command,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            env={**os.environ, **(environ or {})},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"{' '.join(command)}: not done after {seconds:.0f} s") from error
    assert done.returncode == 0, (
        f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    )
    return done.stdout


def until(what: str, check: Callable[[], T], seconds: float, pause: float = 1.0) -> T:
    """Return the first true answer of `check`.

    Raises:
        AssertionError: there was none in time.
    """
    seconds *= PATIENCE
    deadline, rest = time.monotonic() + seconds, threading.Event()
    while not (answer := check()):
        assert time.monotonic() < deadline, f"{what}: not after {seconds:.0f} s"
        rest.wait(pause)
    return answer
