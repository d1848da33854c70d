"""Rows of jsonl, json, csv, tsv and parquet files, with their numbers; a bad row is a row with a problem."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from kubetune_trainer.data.reading import data_files, of_split, read_rows
from kubetune_trainer.errors import BadDataset

ROWS = [{"prompt": "a, b", "completion": "c\nd"}, {"prompt": "ü", "completion": "e"}]


def write(folder: Path, name: str) -> Path:
    path = folder / name
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    delimited = 'prompt;completion\n"a, b";"c\nd"\nü;e\n'
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(lines.encode()))
    elif name.endswith(".parquet"):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    elif name.endswith(".csv"):
        path.write_text(delimited.replace(";", ","), encoding="utf-8-sig")
    elif name.endswith(".tsv"):
        path.write_text(delimited.replace(";", "\t"), encoding="utf-8")
    elif name == "list.json":
        path.write_text(json.dumps(ROWS), encoding="utf-8")
    elif name == "object.json":
        path.write_text(json.dumps({"version": 1, "data": ROWS}), encoding="utf-8")
    else:
        path.write_text(lines, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "name",
    ["r.jsonl", "r.ndjson", "r.jsonl.gz", "r.csv", "r.tsv", "r.parquet", "list.json", "object.json", "lines.json"],
)
def test_every_format_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    rows = list(read_rows(write(tmp_path, name)))
    assert [row.fields for row in rows] == ROWS
    assert [row.number for row in rows] == [1, 2]
    assert all(row.problem is None for row in rows)


def test_row_numbers_are_the_lines_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"a": 1}\n\n{"a": \n[1]\n"x"\n', encoding="utf-8")
    assert [(row.number, row.problem) for row in read_rows(path)] == [
        (1, None),
        (3, "no JSON: Expecting value at column 1"),
        (4, "a JSON object is due, this is a list"),
        (5, "a JSON object is due, this is a text"),
    ]


def test_a_table_row_with_too_many_fields_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("prompt,completion\na,b\na,b,c\n", encoding="utf-8")
    assert [row.problem for row in read_rows(path)] == [
        None,
        "more fields than the header has columns; quote fields that hold commas",
    ]


def test_a_cut_gzip_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "r.jsonl.gz")
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(BadDataset, match=r"r\.jsonl\.gz is cut off or no gzip file"):
        list(read_rows(path))


def test_a_folder_gives_its_data_files_in_order(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.csv", ".hidden.jsonl", "dataset_infos.json", "readme.md"):
        write(tmp_path, name)
    assert [path.name for path in data_files(tmp_path, "pvc://x")] == ["a.csv", "b.jsonl"]


@pytest.mark.parametrize(
    ("split", "chosen"),
    [(None, ["train-00000-of-00001.parquet"]), ("test", ["test-00000-of-00001.parquet"])],
)
def test_a_dataset_repository_gives_the_files_of_a_split(tmp_path: Path, split: str | None, chosen: list[str]) -> None:
    for name in ("train", "test"):
        write(tmp_path, f"{name}-00000-of-00001.parquet")
    assert [path.name for path in of_split(data_files(tmp_path, "hf://x"), split)] == chosen


def test_a_split_that_is_not_there_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "train.jsonl")
    with pytest.raises(BadDataset, match=r"no file of split 'dev' among train\.jsonl"):
        of_split(data_files(tmp_path, "hf://x"), "dev")
