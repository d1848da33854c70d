"""Rows of a file, one at a time: jsonl, json, csv, tsv and parquet, also gzipped. A bad row is a row with a problem."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import BadDataset

_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
_SHOWN = 200


@dataclass(frozen=True)
class Row:
    """One row as it was found."""

    file: str
    """file name, for people."""
    number: int
    """number in the file from 1: the line of a jsonl file, the record of a csv or parquet file."""
    fields: dict[str, Any]
    problem: str | None = None
    """problem that makes the row unreadable."""
    raw: str = ""
    """raw text of an unreadable row, cut."""


def data_files(path: Path, uri: str) -> list[Path]:
    """Return the data files of a file or folder, in order of their names.

    Raises:
        BadDataset: there is none of a known type.
    """
    if path.is_file():
        if _suffix(path) not in _SUFFIXES:
            raise BadDataset(
                f"{uri}: files that end in {path.suffix or 'nothing'} cannot be read; "
                "write .jsonl, .json, .csv, .tsv or .parquet"
            )
        return [path]
    found = sorted(file for file in path.rglob("*") if file.is_file() and _suffix(file) in _SUFFIXES)
    files = [file for file in found if not file.name.startswith((".", "_")) and file.name not in _REPOSITORY_FILES]
    if not files:
        raise BadDataset(f"{uri}: the folder has no .jsonl, .json, .csv, .tsv or .parquet file", reason="EmptyDataset")
    return files


_REPOSITORY_FILES = ("dataset_infos.json", "dataset_dict.json", "state.json", "dataset_info.json")


def _suffix(path: Path) -> str:
    name = path.name.removesuffix(".gz")
    return Path(name).suffix.lower()


def of_split(files: list[Path], split: str | None) -> list[Path]:
    """Return the files of a split as dataset repositories name them (`train-00000-of-00002.parquet`); all when none is.

    Raises:
        BadDataset: a split was asked for and no file has it in its name.
    """
    wanted = split or "train"
    chosen = [file for file in files if wanted in file.stem.replace("_", "-").split("-") or wanted == file.parent.name]
    if split is not None and not chosen:
        names = ", ".join(file.name for file in files[:5])
        raise BadDataset(f"no file of split {split!r} among {names}; leave `split` out or name one of them in the uri")
    return chosen or files


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file in order; unreadable rows are yielded with their problem.

    Raises:
        BadDataset: the file as a whole cannot be read (empty parquet, no JSON list, broken gzip).
    """
    suffix = _suffix(path)
    try:
        if suffix == ".parquet":
            yield from _parquet(path)
        elif suffix in (".csv", ".tsv"):
            yield from _delimited(path, "," if suffix == ".csv" else "\t")
        elif suffix == ".json":
            yield from _json(path)
        else:
            yield from _json_lines(path)
    except (EOFError, gzip.BadGzipFile) as error:
        raise BadDataset(f"{path.name} is cut off or no gzip file ({error}); write it again") from error


def _open(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb")  # type: ignore[return-value]


def _json_lines(path: Path) -> Iterator[Row]:
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not line.strip():
                continue
            yield _json_row(path.name, number, line)


def _json_row(name: str, number: int, line: bytes) -> Row:
    try:
        fields = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        problem = f"invalid UTF-8 at byte {error.start + 1} (0x{line[error.start]:02x}); save the file as UTF-8"
        return Row(name, number, {}, problem, line.decode("utf-8", "replace")[:_SHOWN])
    except json.JSONDecodeError as error:
        problem = f"no JSON: {error.msg} at column {error.colno}"
        return Row(name, number, {}, problem, line.decode("utf-8", "replace")[:_SHOWN])
    if not isinstance(fields, dict):
        problem = f"a JSON object is due, this is {_kind(fields)}"
        return Row(name, number, {}, problem, line.decode("utf-8", "replace")[:_SHOWN])
    return Row(name, number, fields)


def _kind(value: Any) -> str:
    names = {"list": "a list", "str": "a text", "int": "a number", "float": "a number", "NoneType": "null"}
    return names.get(type(value).__name__, type(value).__name__)


def _json(path: Path) -> Iterator[Row]:
    """Read a list of objects, an object with one such list (`data`), or JSON lines under the wrong name."""
    with _open(path) as file:
        body = file.read()
    if not body.strip():
        return
    try:
        document = json.loads(body)
    except UnicodeDecodeError as error:
        raise BadDataset(f"{path.name}: invalid UTF-8 at byte {error.start + 1}; save the file as UTF-8") from error
    except json.JSONDecodeError:
        yield from _json_lines(path)
        return
    if isinstance(document, dict):
        lists = [value for value in document.values() if isinstance(value, list)]
        document = lists[0] if len(lists) == 1 else [document]
    if not isinstance(document, list):
        raise BadDataset(f"{path.name} is {_kind(document)}; a list of objects is due (or one object a line, .jsonl)")
    for number, fields in enumerate(document, 1):
        if isinstance(fields, dict):
            yield Row(path.name, number, fields)
        else:
            yield Row(path.name, number, {}, f"a JSON object is due, this is {_kind(fields)}", str(fields)[:_SHOWN])


def _delimited(path: Path, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(2**27)
    with (
        _open(path) as binary,
        io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline="") as text,
    ):
        reader = csv.DictReader(text, delimiter=delimiter, restkey="")
        try:
            for number, fields in enumerate(reader, 1):
                yield _delimited_row(path.name, number, fields)
        except csv.Error as error:
            raise BadDataset(f"{path.name}, line {reader.line_num}: {error}; quote the field") from error


def _delimited_row(name: str, number: int, fields: dict[str, Any]) -> Row:
    shown = str(fields)[:_SHOWN].encode("utf-8", "replace").decode()
    if "" in fields and isinstance(fields[""], list):
        return Row(name, number, {}, "more fields than the header has columns; quote fields that hold commas", shown)
    for column, value in fields.items():
        bad = next((i for i, c in enumerate(value or "") if 0xDC80 <= ord(c) <= 0xDCFF), None)
        if bad is not None:
            problem = f"invalid UTF-8 in column {column!r}, character {bad + 1}; save the file as UTF-8"
            return Row(name, number, {}, problem, shown)
    return Row(name, number, fields)


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    if path.stat().st_size == 0:
        raise BadDataset(f"{path.name} has 0 bytes: its writer was stopped before it closed the file; write it again")
    try:
        file = pyarrow.parquet.ParquetFile(path)
        number = 0
        for batch in file.iter_batches(batch_size=1024):
            for fields in batch.to_pylist():
                number += 1
                yield Row(path.name, number, fields)
    except pyarrow.ArrowInvalid as error:
        raise BadDataset(f"{path.name} is no parquet file or is cut off ({error}); write it again") from error
