"""One writer in a workspace: an advisory lock that the kernel drops with the process."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import TrainerError

#: A predecessor that was told to stop may still be writing its checkpoint.
PATIENCE_SECONDS = 60.0


@contextmanager
def only_writer(workspace: Path, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Hold the workspace's lock.

    Raises:
        TrainerError: another process held it for `patience` seconds.
    """
    path = workspace / ".train.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline = time.monotonic() + patience
        while not _taken(handle):
            if time.monotonic() >= deadline:
                raise TrainerError(
                    f"another process trains in {workspace}: it holds {path.name}; wait for it to end, or delete its "
                    "pod, and give each FineTuneJob a workspace of its own",
                    reason="WorkspaceBusy",
                )
            time.sleep(min(0.2, patience))
        yield
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
