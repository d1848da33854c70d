"""Finds containers that take more memory than their limit, as the kernel does for control groups."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil


def used_by_descendants(pid: int) -> int:
    """Return bytes of memory that the descendants of a process hold and that cannot be reclaimed.

    Pages of mapped files are left out, as the kernel reclaims them before it kills; pages that processes share since
    a fork count once where the system tells (`Pss_*`).
    """
    try:
        processes = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return 0
    return sum(_used(process, shared=len(processes) > 1) for process in processes)


def _used(process: psutil.Process, *, shared: bool) -> int:
    base = Path(f"/proc/{process.pid}")
    if shared and (amounts := _kibibytes(base / "smaps_rollup", ("Pss_Anon:", "Pss_Shmem:"))):
        return sum(amounts)
    if amounts := _kibibytes(base / "status", ("RssAnon:", "RssShmem:")):
        return sum(amounts)
    with contextlib.suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def _kibibytes(path: Path, names: tuple[str, ...]) -> list[int]:
    try:
        text = path.read_text()
    except OSError:
        return []
    return list(_amounts(text, names))


def _amounts(text: str, names: tuple[str, ...]) -> Iterator[int]:
    for line in text.splitlines():
        if line.startswith(names):
            yield int(line.split()[1]) * 1024
