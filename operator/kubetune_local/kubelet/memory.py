"""Finds containers that take more memory than their limit, as the kernel does for control groups."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

Tree = Mapping[int, list[int]]
"""Pid -> pids of its children."""


def process_tree() -> Tree:
    """Return who is whose child on this machine, now."""
    tree: dict[int, list[int]] = {}
    for pid, parent in _parents():
        tree.setdefault(parent, []).append(pid)
    return tree


def _parents() -> Iterator[tuple[int, int]]:
    """Yield pid and parent of each process; read directly where that is possible, which is ten times as fast."""
    if not Path("/proc/self/stat").exists():
        yield from ((process.pid, process.info["ppid"]) for process in psutil.process_iter(["ppid"]))
        return
    for pid in psutil.pids():
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
            yield pid, int(text[text.rindex(")") + 2 :].split(" ", 2)[1])


def used_by_descendants(pid: int, tree: Tree) -> int:
    """Return bytes of memory that the descendants of a process hold and that cannot be reclaimed.

    Pages of mapped files are left out, as the kernel reclaims them before it kills; pages that processes share since
    a fork count once where the system tells (`Pss_*`).
    """
    found: list[int] = []
    open_ends = [pid]
    while open_ends:
        children = tree.get(open_ends.pop(), [])
        found += children
        open_ends += children
    return sum(_used(each, shared=len(found) > 1) for each in found)


def _used(pid: int, *, shared: bool) -> int:
    base = Path(f"/proc/{pid}")
    if shared and (amounts := _kibibytes(base / "smaps_rollup", ("Pss_Anon:", "Pss_Shmem:"))):
        return sum(amounts)
    if amounts := _kibibytes(base / "status", ("RssAnon:", "RssShmem:")):
        return sum(amounts)
    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
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
