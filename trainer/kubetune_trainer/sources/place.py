"""What a fetch returns, where downloads lie, and room for them."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO

from ..errors import BadDataset, DiskFull, ModelUnavailable, TrainerError

#: A download of another process may be a large one; it is used, not made again.
TURN_SECONDS = 3600.0


class Purpose(Enum):
    """What a source is for: the error that its absence is."""

    DATA = "dataset"
    MODEL = "model"

    def error(self, message: str, reason: str | None = None) -> TrainerError:
        """Return the error of this purpose."""
        return (BadDataset if self is Purpose.DATA else ModelUnavailable)(message, reason=reason)


@dataclass(frozen=True)
class Fetched:
    """A source on this machine."""

    path: Path
    """path of the file or folder."""
    revision: str
    """revision: commit, entity tag or size and time: it changes when the content does."""


def folder_for(cache: Path, uri: str) -> Path:
    """Return the cache folder of a uri: readable, and one for each uri."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", uri.partition("://")[2])[-60:].strip("-.")
    return cache / f"{readable}-{hashlib.sha256(uri.encode()).hexdigest()[:8]}"


@contextmanager
def turn(cache: Path, uri: str, patience: float = TURN_SECONDS) -> Iterator[None]:
    """Download a uri while nobody else does: evaluations may share a workspace. A turn ends with its process.

    Raises:
        TrainerError: another process does not come to its end.
    """
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f".{folder_for(cache, uri).name}.turn"
    with path.open("ab") as file:
        deadline = time.monotonic() + patience
        while not _locked(file):
            if time.monotonic() >= deadline:
                raise TrainerError(
                    f"another process has been downloading {uri} into this workspace for {patience:.0f} s; wait for it "
                    "to end, or delete its pod",
                    reason="WorkspaceBusy",
                )
            time.sleep(0.1)
        yield


def _locked(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)  # not every file system can: then nobody waits
    return True


def require_room(needed: int, folder: Path, room: int | None, what: str) -> None:
    """Check before a byte is written that `needed` bytes fit.

    Raises:
        DiskFull: they do not.
    """
    near = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(near).free
    if room is not None:
        free = min(free, room)
    if needed > free:
        raise DiskFull(
            f"{what} takes {size_text(needed)}, but the workspace has {size_text(free)} left; "
            f"set spec.workspace.size to at least {size_text(_rounded_up(needed * 2))}",
            reason="WorkspaceTooSmall",
        )


def size_text(count: int) -> str:
    """Return bytes as people write them: `98.0 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{int(value)} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def _rounded_up(count: int) -> int:
    gibibyte = 2**30
    return max(gibibyte, -(-count // gibibyte) * gibibyte)
