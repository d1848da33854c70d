"""The held-out rows of a task, and the solved examples of a prompt."""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from kubetune_api.dataset import Columns, DataFormat
from kubetune_api.evalrun import Examples, Task, TaskType
from kubetune_api.model import DataSource

from ..data.formats import Example, Reading, RowProblem, understand
from ..data.reading import Row, data_files, of_split, read_rows
from ..errors import BadDataset
from ..sources import fetch_data

_LOOKED_AT = 100
_PROBLEMS_SHOWN = 3


def task_rows(task: Task, seed: int, cache: Path) -> list[Example]:
    """Return the rows of a task, `limit` of them drawn by seed and content, in the order of the file.

    Raises:
        BadDataset: nothing usable, bad rows, or rows without an answer to compare with.
    """
    dataset = task.dataset
    assert dataset is not None, "task_problem refuses tasks without a dataset"
    where = f"tasks[{task.name}].dataset"
    rows = _examples(dataset, dataset.format, dataset.columns, where, cache)
    if task.type is not TaskType.PERPLEXITY:
        _require_answers(rows, task, where)
    if dataset.limit is not None and dataset.limit < len(rows):
        order = sorted(range(len(rows)), key=lambda i: _lot(rows[i], seed))
        rows = [rows[i] for i in sorted(order[: dataset.limit])]
    return rows


def reference(row: Example, task: Task) -> str:
    """Return the answer that a prediction is compared with: the label of a classified row where there is one."""
    return row.label if task.type is TaskType.CLASSIFICATION and row.label else row.answer


def solved_examples(
    examples: Examples, held_out: Sequence[Example], like: Example, columns: Columns, seed: int, cache: Path
) -> list[Example]:
    """Return the examples of a prompt: the same for every row, never a held-out row or one of its document.

    Drawn by seed and content, each from another document where there are enough, passing over rows more than twice as
    long as the median: they would leave no room for the question.

    Args:
        examples: how many, and from where.
        held_out: rows of all tasks.
        like: a row of the task, whose kind the examples must have.
        columns: of the task's data; those that the source has too mean the same there.
        seed: of the draw.
        cache: folder for downloads.

    Raises:
        BadDataset: too few rows are left.
    """
    rows = _examples(examples.source, DataFormat.AUTO, columns, "prompt.examples.source", cache, strict=False)
    keys = {row.key() for row in held_out}
    questions = {_question_key(row) for row in held_out}
    groups = {row.group for row in held_out if row.group}
    free = [
        row
        for row in rows
        if row.key() not in keys
        and _question_key(row) not in questions
        and not (row.group and row.group in groups)
        and bool(row.messages) == bool(like.messages)
        and bool(row.text) == bool(like.text)
    ]
    if len(free) < examples.count:
        raise BadDataset(
            f"prompt.examples: {examples.source.uri} has {len(free)} rows that are fit for examples, {examples.count} "
            f"are asked ({len(rows)} in all; rows that are evaluated, of the same group as one, or of another format "
            "than the task's are not used); give more rows or a smaller count",
            reason="TooFewExamples",
        )
    longest = 2 * median(len(row.key()) for row in free)
    drawn = sorted(free, key=lambda row: (len(row.key()) > longest, _lot(row, seed)))
    return _spread(drawn)[: examples.count]


def _spread(rows: Sequence[Example]) -> list[Example]:
    """Return the first row of each document, then the rest, in order."""
    seen: set[str] = set()
    first: list[Example] = []
    rest: list[Example] = []
    for row in rows:
        (rest if row.group in seen else first).append(row)
        if row.group:
            seen.add(row.group)
    return first + rest


def _question_key(row: Example) -> str:
    if row.messages:
        return "\x1e".join(turn["content"].strip() for turn in row.question)
    return row.prompt.strip() or row.text


def _lot(row: Example, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\x1f{row.key()}\x1f{row.number}".encode(errors="surrogatepass")).digest()


def _examples(
    source: DataSource, wanted: DataFormat, columns: Columns, where: str, cache: Path, *, strict: bool = True
) -> list[Example]:
    """Return the rows of a source; columns that it does not have matter only when `strict`."""
    fetched = fetch_data(source, cache)
    files = of_split(data_files(fetched.path, source.uri), source.split)
    found: list[Example] = []
    problems: list[str] = []
    for file in files:
        rows = read_rows(file)
        head = list(islice(rows, _LOOKED_AT))
        readable = [row.fields for row in head if row.problem is None]
        if not readable:
            problems += [_problem_text(row, row.problem or "") for row in head]
            continue
        known = columns if strict else _present(columns, readable)
        reading = understand(readable, wanted, known, file.name, where)
        _collect(head, reading, found, problems)
        _collect(rows, reading, found, problems)
    if problems:
        shown = "; ".join(problems[:_PROBLEMS_SHOWN])
        rest = f" and {len(problems) - _PROBLEMS_SHOWN} more" if len(problems) > _PROBLEMS_SHOWN else ""
        raise BadDataset(f"{where}: {source.uri} has bad rows: {shown}{rest}; mend or remove them", reason="BadRows")
    if not found:
        raise BadDataset(f"{where}: {source.uri} has no rows", reason="EmptyDataset")
    return found


def _present(columns: Columns, rows: Sequence[dict[str, Any]]) -> Columns:
    names = {name for fields in rows for name in fields}
    return Columns(**{field: column for field, column in columns.model_dump().items() if column in names})


def _collect(rows: Iterable[Row], reading: Reading, found: list[Example], problems: list[str]) -> None:
    for row in rows:
        if row.problem is not None:
            problems.append(_problem_text(row, row.problem))
            continue
        try:
            found.append(reading.example(row.file, row.number, row.fields))
        except RowProblem as problem:
            problems.append(_problem_text(row, str(problem)))


def _problem_text(row: Row, problem: str) -> str:
    return f"{row.file} row {row.number}: {problem}"


def _require_answers(rows: Sequence[Example], task: Task, where: str) -> None:
    labelled = task.type is TaskType.CLASSIFICATION
    for row in rows:
        if row.text and not (labelled and row.label):
            needed = "a label column" if labelled else "an answer: Chat, Instruction or Completion rows"
            raise BadDataset(
                f"{where}: {row.file} row {row.number} is plain text, but type {task.type} needs {needed}; "
                f"give it, or use type Perplexity",
                reason="NoAnswers",
            )
