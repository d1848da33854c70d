"""A pod with several accelerators: one process for each, and one end for all of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from kubetune_api.exits import Exit, reason_of
from kubetune_api.report import FinalLine, parse_termination
from kubetune_api.run import TERMINATION_LOG_ENV, RunFile, Stage

from .rendezvous import LOCAL_RANK_ENV, LOCAL_RENDEZVOUS_ENV, processes

#: Processes that have lost one of their number end by themselves in this time, or are ended.
PATIENCE_SECONDS = 120.0


def is_launcher(run: RunFile) -> bool:
    """Tell whether this process is to start others instead of training itself."""
    return run.stage is Stage.TRAIN and processes(run) > 1 and LOCAL_RANK_ENV not in os.environ


def is_worker() -> bool:
    """Tell whether this process was started by a launcher, which reports its end."""
    return LOCAL_RANK_ENV in os.environ


def launch(run: RunFile, run_file: Path, patience: float = PATIENCE_SECONDS) -> FinalLine:
    """Run the processes of this pod; returns how the one ended that decides: the first that failed by itself."""
    command = [sys.executable, "-m", "kubetune_trainer", str(run_file)]
    with tempfile.TemporaryDirectory(prefix="kubetune-") as folder:
        logs = [Path(folder) / f"{rank}.json" for rank in range(processes(run))]
        where = f"127.0.0.1:{_free_port()}"
        children = [
            subprocess.Popen(
                command,
                env=os.environ
                | {LOCAL_RANK_ENV: str(rank), LOCAL_RENDEZVOUS_ENV: where, TERMINATION_LOG_ENV: str(log)},
            )
            for rank, log in enumerate(logs)
        ]

        def forward(number: int, frame: FrameType | None) -> None:
            for child in children:
                if child.poll() is None:
                    child.send_signal(signal.SIGTERM)

        previous = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            order = _ended(children, patience)
        finally:
            for child in children:
                child.kill()
                child.wait()
            for number, handler in previous.items():
                signal.signal(number, handler)
        return _final(_decisive(order, children), children, logs)


def _ended(children: Sequence[subprocess.Popen[bytes]], patience: float) -> list[int]:
    """Wait for all to end; returns their numbers in that order. Once one has failed the others have some time."""
    order: list[int] = []
    deadline: float | None = None
    while len(order) < len(children):
        for rank, child in enumerate(children):
            if rank not in order and child.poll() is not None:
                order.append(rank)
                if child.returncode != 0 and deadline is None:
                    deadline = time.monotonic() + patience
        if deadline is not None and time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return order


def _decisive(order: list[int], children: Sequence[subprocess.Popen[bytes]]) -> int:
    """Return the first that failed by itself, else the first that was stopped, else the first process."""
    failed = [rank for rank in order if children[rank].returncode not in (Exit.DONE, Exit.CHECKPOINTED)]
    stopped = [rank for rank in sorted(order) if children[rank].returncode == Exit.CHECKPOINTED]
    return next(iter([*failed, *stopped, 0]))


def _final(rank: int, children: Sequence[subprocess.Popen[bytes]], logs: Sequence[Path]) -> FinalLine:
    code = children[rank].returncode
    told = parse_termination(logs[rank].read_text(encoding="utf-8")) if logs[rank].exists() else None
    if told is not None and told.exit_code == code:
        return told
    if code == -signal.SIGKILL:  # the kernel ends the largest process of a container that is out of memory
        message = f"process {rank} of this pod was killed; out of memory is the usual cause"
    else:
        message = f"process {rank} of this pod ended with code {code} and without a word; the log may tell more"
    code = 128 - code if code < 0 else code
    return FinalLine(exit_code=code, reason=reason_of(code), message=message)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
