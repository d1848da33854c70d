"""What a fetch returns, where downloads lie, and room for them."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..errors import BadDataset, DiskFull, ModelUnavailable, TrainerError


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
