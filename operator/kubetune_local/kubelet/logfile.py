"""Reads container logs: two files of records `TIME stdout F LINE`, from an offset, a time or a number of lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

BLOCK = 64 * 1024
_NANOSECONDS = len("2026-01-01T00:00:00.000000000Z")


@dataclass(frozen=True)
class Selection:
    """What of a log is wanted."""

    tail: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    limit: int | None = None
    """Bytes at most."""


def files_of(log: Path) -> list[Path]:
    """Return the files of a log that exist, the older first."""
    return [path for path in (log.with_name(log.name + ".1"), log) if path.exists()]


def last_lines(log: Path, count: int) -> list[str]:
    """Return the last lines, without their times."""
    text = b"".join(render(records(log, Selection(tail=count)), timestamps=False))
    return text.decode("utf-8", "replace").splitlines()


def records(log: Path, selection: Selection) -> Iterator[bytes]:
    """Yield the records selected, as they are in the file."""
    lines = _all(log) if selection.tail is None else iter(_tail(log, selection.tail))
    if selection.since is None:
        yield from lines
        return
    since = selection.since.timestamp()
    for line in lines:
        if moment(line) >= since:
            yield line


def moment(line: bytes) -> float:
    """Return the time of a record in seconds since 1970."""
    text = line[:_NANOSECONDS].decode("ascii", "replace")
    try:
        return datetime.fromisoformat(f"{text[:26]}+00:00").timestamp()
    except ValueError:
        return 0.0


def render(lines: Iterator[bytes], *, timestamps: bool) -> Iterator[bytes]:
    """Yield what people see: lines put together again, with the time before each when asked for."""
    inside = False
    for line in lines:
        stamp, _, rest = line.partition(b" ")
        _stream, _, rest = rest.partition(b" ")
        tag, _, content = rest.partition(b" ")
        content = content.removesuffix(b"\n")
        lead = stamp + b" " if timestamps and not inside else b""
        inside = tag == b"P"
        yield lead + content + (b"" if inside else b"\n")


def _all(log: Path) -> Iterator[bytes]:
    for path in files_of(log):
        with path.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))


def _tail(log: Path, count: int) -> list[bytes]:
    """Return the records of the last `count` lines, reading no more of the files than needed."""
    if count <= 0:
        return []
    kept: list[bytes] = []
    for path in reversed(files_of(log)):
        missing = count - _complete(kept)
        if missing <= 0:
            break
        kept = _tail_of_file(path, missing) + kept
    return kept


def _tail_of_file(path: Path, count: int) -> list[bytes]:
    """Read from the end, four times as much each time, until enough lines are there."""
    size, block = path.stat().st_size, BLOCK
    while True:
        start = max(0, size - block)
        with path.open("rb") as file:
            file.seek(start)
            lines = file.read(size - start).split(b"\n")[1 if start else 0 : -1]
        if start == 0 or _complete(lines) > count:
            break
        block *= 4
    wanted, seen = 0, int(bool(lines) and not _is_last_of_line(lines[-1]))  # a last line without its end is one too
    for index in range(len(lines) - 1, -1, -1):
        seen += _is_last_of_line(lines[index])
        if seen > count:
            wanted = index + 1
            break
    return [line + b"\n" for line in lines[wanted:]]


def _complete(lines: list[bytes]) -> int:
    return sum(_is_last_of_line(line) for line in lines)


def _is_last_of_line(line: bytes) -> int:
    parts = line.split(b" ", 3)
    return int(len(parts) > 2 and parts[2] == b"F")
