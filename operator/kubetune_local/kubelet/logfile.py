"""Reads container logs: two files of records `TIME stdout F LINE`, from an offset, a time or a number of lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    text = b"".join(Renderer(timestamps=False).render(records(log, Selection(tail=count))))
    return text.decode("utf-8", "replace").splitlines()


def records(log: Path, selection: Selection, end: int | None = None) -> Iterator[bytes]:
    """Yield the records selected, as they are in the file; of the newer file, those before the offset `end`."""
    lines = _all(log, end) if selection.tail is None else iter(_tail(log, selection.tail, end))
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


class Renderer:
    """Turns records into what people see: lines put together again, with the time before each when asked for."""

    def __init__(self, *, timestamps: bool) -> None:
        self._timestamps = timestamps
        self._inside = False

    def render(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the text of records; a line may go on in the records of the next call."""
        for line in lines:
            stamp, _, rest = line.partition(b" ")
            _stream, _, rest = rest.partition(b" ")
            tag, _, content = rest.partition(b" ")
            content = content.removesuffix(b"\n")
            lead = stamp + b" " if self._timestamps and not self._inside else b""
            self._inside = tag == b"P"
            yield lead + content + (b"" if self._inside else b"\n")


def _all(log: Path, end: int | None) -> Iterator[bytes]:
    for path in files_of(log):
        left = end if end is not None and path == log else path.stat().st_size
        with path.open("rb") as file:
            for line in file:
                left -= len(line)
                if left < 0 or not line.endswith(b"\n"):
                    break
                yield line


def _tail(log: Path, count: int, end: int | None) -> list[bytes]:
    """Return the records of the last `count` lines, reading no more of the files than needed."""
    if count <= 0:
        return []
    kept: list[bytes] = []
    for path in reversed(files_of(log)):
        missing = count - _complete(kept)
        if missing <= 0:
            break
        kept = _tail_of_file(path, missing, end if end is not None and path == log else path.stat().st_size) + kept
    return kept


def _tail_of_file(path: Path, count: int, size: int) -> list[bytes]:
    """Read from the end, four times as much each time, until enough lines are there."""
    block = BLOCK
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
