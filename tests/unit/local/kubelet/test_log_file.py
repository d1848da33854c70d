"""Reading container logs."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kubetune_local.kubelet.logfile import Renderer, Selection, last_lines, records
from kubetune_local.kubelet.shim import LONGEST_LINE, ContainerLog

EVERYTHING = Selection()


def text(log: Path, selection: Selection = EVERYTHING) -> str:
    return b"".join(Renderer(timestamps=selection.timestamps).render(records(log, selection))).decode()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    lines = [f"2026-01-01T00:00:{second:02d}.000000000Z stdout F line {second}\n" for second in range(10)]
    path.write_text("".join(lines))
    return path


def test_shows_lines_without_their_times(log: Path) -> None:
    assert text(log).splitlines()[:2] == ["line 0", "line 1"]


def test_shows_times_when_asked(log: Path) -> None:
    assert text(log, Selection(tail=1, timestamps=True)) == "2026-01-01T00:00:09.000000000Z line 9\n"


@pytest.mark.parametrize(
    ("count", "expected"), [(0, []), (2, ["line 8", "line 9"]), (99, [f"line {i}" for i in range(10)])]
)
def test_shows_the_last_lines(log: Path, count: int, expected: list[str]) -> None:
    assert last_lines(log, count) == expected


def test_shows_what_was_written_since(log: Path) -> None:
    assert text(log, Selection(since=datetime(2026, 1, 1, 0, 0, 8, tzinfo=UTC))) == "line 8\nline 9\n"


def test_a_log_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert text(tmp_path / "log") == ""
    assert last_lines(tmp_path / "log", 5) == []


def test_long_lines_are_put_together_again(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path / "log", 1 << 20)
    long = "x" * (LONGEST_LINE * 2 + 7)
    log.write(f"before\n{long}\nafter".encode())
    log.close()
    assert text(tmp_path / "log").split("\n") == ["before", long, "after"]
    assert last_lines(tmp_path / "log", 2) == [long, "after"]


def test_the_tail_of_a_large_log_is_right(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path / "log", 1 << 24)
    for start in range(0, 20_000, 1000):
        log.write("".join(f"line {i}\n" for i in range(start, start + 1000)).encode())
    log.close()
    assert last_lines(tmp_path / "log", 5000) == [f"line {i}" for i in range(15_000, 20_000)]


def test_a_log_stays_within_two_files(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path / "log", 10_000)
    for i in range(2000):
        log.write(f"line {i}\n".encode())
    log.close()
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert max(sizes) < 11_000
    lines = text(tmp_path / "log").splitlines()
    assert lines[-1] == "line 1999"
    assert lines == [f"line {i}" for i in range(2000 - len(lines), 2000)]
