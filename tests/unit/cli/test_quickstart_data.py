"""The quickstart's data: made from a library's sources, split by package, nothing alike on both sides."""

import json
import runpy
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "examples/quickstart/make_dataset.py"
MAKE: dict[str, Any] = runpy.run_path(str(SCRIPT))

SOURCE = '''
class Shelf:
    def put(self, book: str) -> None:
        """Put a book on the shelf.

        More about it.
        """
        self.books.append(book)

    def _hidden(self):
        """Do something that nobody sees."""


def count(shelf):
    """Return how many books there are."""
    return len(shelf.books)


def bare():
    return 1


def long(a):
    """Return all of it."""
    first = a + 1
    second = first * 2
    third = [second for _ in range(1000)]
    fourth = sorted(third, key=lambda value: -value)
    fifth = {value: value for value in fourth}
    return fifth
'''


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A library of three packages, one of them tests."""
    for name in ("shelves/core.py", "copies/core.py", "test/test_core.py"):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text(SOURCE)
    return tmp_path


def rows(library: Path) -> list[dict[str, str]]:
    """Return the rows of a library."""
    return list(MAKE["rows_of"](library))


def test_a_row_is_code_without_docstring_and_its_first_line(library: Path) -> None:
    put = next(row for row in rows(library) if "put" in row["input"])
    assert put["output"] == "Put a book on the shelf."
    assert put["input"] == "# copies.core.Shelf\ndef put(self, book):\n    self.books.append(book)"
    assert put["module"] == "copies"


def test_private_bare_and_test_functions_are_left_out(library: Path) -> None:
    names = [row["input"].split("def ")[1].split("(")[0] for row in rows(library)]
    assert sorted(names) == ["count", "long", "put"]


def test_long_code_is_cut_after_a_whole_line(library: Path) -> None:
    long = next(row for row in rows(library) if "def long" in row["input"])
    assert long["input"].endswith("\n    ...")
    assert len(long["input"]) < 260


def test_copied_code_comes_once(library: Path) -> None:
    assert {row["module"] for row in rows(library)} == {"copies"}


def test_packages_are_on_one_side_only_and_share_no_run_of_words() -> None:
    texts = [f"alpha{i} beta{i} gamma{i} delta{i}" for i in range(400)]
    made = [
        {
            "instruction": "Do.",
            "input": f"# m{i % 40}\n{text} {text} {text}",
            "output": f"Return {text}.",
            "module": f"m{i % 40}",
        }
        for i, text in enumerate(texts)
    ]
    made[7]["output"] = made[8]["output"] = "Return one two three four five six seven eight nine."
    train, held_out = MAKE["split"](made)
    assert train
    assert held_out
    assert not {row["module"] for row in train} & {row["module"] for row in held_out}
    shingles = MAKE["shingles"]
    assert not set().union(*map(shingles, train)) & set().union(*map(shingles, held_out))


def test_the_real_library_gives_the_same_files_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Path(sysconfig.get_path("stdlib")) / "email"
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(small))
    texts = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        monkeypatch.setattr(sys, "argv", ["make_dataset.py", str(folder)])
        MAKE["main"]()
        texts.append([(folder / f"{name}.jsonl").read_text() for name in ("train", "heldout", "examples")])
    assert texts[0] == texts[1]
    examples = [json.loads(line) for line in texts[0][2].splitlines()]
    assert len(examples) == 5
    assert set(examples[0]) == {"instruction", "input", "output", "module"}
    assert not set(texts[0][0].splitlines()) & set(texts[0][2].splitlines())
