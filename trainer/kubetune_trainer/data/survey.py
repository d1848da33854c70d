"""The first pass over the data: every row is read and checked, and what becomes of it is noted in one byte."""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from kubetune_api.dataset import CheckAction, Columns, DataChecks, DataFormat, PiiAction

from ..errors import BadDataset
from .formats import Example, Reading, RowProblem, understand
from .near import NearDuplicates
from .personal import kinds_in
from .reading import Row, read_rows

DROPPED, KEPT = 0, 1
_SAMPLE = 64
_SHOWN = 3


def digest(text: str) -> bytes:
    """Return 12 bytes that tell texts apart."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()


def normalised(example: Example) -> str:
    """Return an example's text without case, punctuation and spacing, for leakage."""
    return " ".join(re.findall(r"\w+", example.key().casefold()))


@dataclass
class Finding:
    """What one check found."""

    count: int = 0
    places: list[str] = field(default_factory=list)

    def note(self, place: str) -> None:
        """Count one, and keep the first places for the message."""
        self.count += 1
        if len(self.places) < _SHOWN:
            self.places.append(place)

    @property
    def shown(self) -> str:
        """The first places, for a message."""
        return "; ".join(self.places) + (f"; and {self.count - _SHOWN} more" if self.count > _SHOWN else "")


@dataclass
class Source:
    """One data file and how its rows are read."""

    path: Path
    reading: Reading


class Quarantine:
    """The file of rows that cannot be used: where, why and what they hold."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.found = Finding()

    def add(self, file: str, number: int, problem: str, raw: Any) -> None:
        """Write one row."""
        self.found.note(f"{file} row {number}: {problem}")
        shown = raw if isinstance(raw, str) else json.dumps(raw, ensure_ascii=False, default=str)[:500]
        entry = {"file": file, "row": number, "problem": problem, "content": shown}
        self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def open_sources(files: list[Path], wanted: DataFormat, columns: Columns, where: str = "dataset") -> list[Source]:
    """Return the files with how to read them; each is understood by its own first rows.

    Raises:
        BadDataset: all files are empty, or columns are missing.
    """
    sources = []
    for path in files:
        sample = [row.fields for row in islice(read_rows(path), _SAMPLE) if row.problem is None]
        if sample:
            sources.append(Source(path, understand(sample, wanted, columns, path.name, where)))
        elif next(read_rows(path), None) is not None:
            sources.append(Source(path, Reading(_first_format(wanted), {})))
    if not sources:
        names = ", ".join(path.name for path in files[:3])
        raise BadDataset(
            f"{names}: no rows; check that the export finished and spec.dataset names the right file",
            reason="EmptyDataset",
        )
    return sources


def _first_format(wanted: DataFormat) -> DataFormat:
    return DataFormat.TEXT if wanted is DataFormat.AUTO else wanted


def examples(source: Source) -> Iterator[tuple[Row, Example | str]]:
    """Yield each row with its example, or with the problem that makes it unusable."""
    for row in read_rows(source.path):
        if row.problem is not None:
            yield row, row.problem
            continue
        try:
            yield row, source.reading.example(row.file, row.number, row.fields)
        except RowProblem as problem:
            yield row, str(problem)


class Survey:
    """Findings of the checks over the training rows, in constant memory a row."""

    def __init__(self, checks: DataChecks, quarantine: Quarantine, held_back: dict[bytes, str]) -> None:
        self._checks = checks
        self._quarantine = quarantine
        self._held_back = held_back
        self._seen: set[bytes] = set()
        self._answers: dict[bytes, bytes] = {}
        self._near = NearDuplicates()
        self.findings = {
            name: Finding() for name in ("duplicates", "nearDuplicates", "contradictions", "leakage", "pii")
        }
        self.pii_kinds: Counter[str] = Counter()
        self.rows = 0
        self.verdicts = bytearray()
        """verdicts: DROPPED or KEPT for each row, in order."""
        self.groups = array("Q")
        """groups: 64-bit hash of the group of each kept row, in order."""

    @property
    def near_duplicates_full(self) -> bool:
        """Whether there were too many examples to look for near-duplicates in all of them."""
        return self._near.full

    def take(self, row: Row, example: Example | str) -> None:
        """Check one row and note its verdict."""
        self.rows += 1
        if isinstance(example, str):
            self._quarantine.add(row.file, row.number, example, row.raw or row.fields)
            self.verdicts.append(DROPPED)
            return
        keep = self._passes(example, f"{row.file} row {row.number}")
        self.verdicts.append(KEPT if keep else DROPPED)
        if keep:
            name = example.group if example.group is not None else f"{row.file}\x1f{row.number}"
            self.groups.append(int.from_bytes(digest(name)[:8], "big"))

    def _passes(self, example: Example, place: str) -> bool:
        """Return whether the example stays, by the first check that drops it."""
        found = (
            ("duplicates", self._checks.duplicates, self._duplicate),
            ("leakage", self._checks.leakage, self._leak),
            ("nearDuplicates", self._checks.near_duplicates, self._near_duplicate),
            ("contradictions", self._checks.contradictions, self._contradiction),
            ("pii", self._checks.pii, self._personal),
        )
        for name, action, check in found:
            if action in (CheckAction.OFF, PiiAction.OFF):
                continue
            detail = check(example)
            if detail is not None:
                self.findings[name].note(place + detail)
                if action in (CheckAction.DROP, PiiAction.DROP):
                    return False
        return True

    def _duplicate(self, example: Example) -> str | None:
        key = digest(example.key())
        if key in self._seen:
            return ""
        self._seen.add(key)
        return None

    def _leak(self, example: Example) -> str | None:
        twin = self._held_back.get(digest(normalised(example)))
        return f" (equals {twin})" if twin is not None else None

    def _near_duplicate(self, example: Example) -> str | None:
        return "" if self._near.seen(example.key()) else None

    def _contradiction(self, example: Example) -> str | None:
        if not example.messages and not example.prompt:
            return None
        question = example.key()[: -len(example.answer)] if example.messages else example.prompt
        answer = digest(example.answer)
        return "" if self._answers.setdefault(digest(question), answer) != answer else None

    def _personal(self, example: Example) -> str | None:
        kinds = kinds_in(example.key())
        self.pii_kinds.update(kinds)
        return f" ({', '.join(kinds)})" if kinds else None

    def refuse(self) -> None:
        """Stop when a check that says Fail found something.

        Raises:
            BadDataset: what was found, in which rows, and what to do.
        """
        _refuse_schema(self._checks, self._quarantine.found, self.rows)
        remedies = {
            "duplicates": ("equal to an earlier one", "DuplicatesFound", "remove duplicates"),
            "leakage": ("also in the held-out data", "LeakageFound", "remove what is on both sides"),
            "nearDuplicates": ("almost equal to an earlier one", "NearDuplicatesFound", "remove near-duplicates"),
            "contradictions": ("answered differently elsewhere", "ContradictionsFound", "decide on one answer"),
            "pii": ("with personal data or secrets", "PersonalDataFound", "clean the rows"),
        }
        actions = self._checks.model_dump(by_alias=True)
        for name, finding in self.findings.items():
            if finding.count and actions[name] == CheckAction.FAIL:
                what, reason, remedy = remedies[name]
                counted = "1 training row is" if finding.count == 1 else f"{finding.count} training rows are"
                raise BadDataset(
                    f"{counted} {what}: {finding.shown}. {remedy.capitalize()}, or set "
                    f"spec.dataset.checks.{name}: Drop",
                    reason=reason,
                )
        if KEPT not in self.verdicts:
            raise BadDataset("no training row is left after the checks; see the data report", reason="EmptyDataset")


def _refuse_schema(checks: DataChecks, bad: Finding, rows: int) -> None:
    if checks.schema_ is CheckAction.FAIL and bad.count > float(checks.max_bad_fraction) * rows:
        verb = "is" if bad.count == 1 else "are"
        raise BadDataset(
            f"{bad.count} of {rows} {'row' if rows == 1 else 'rows'} {verb} bad: {bad.shown}. "
            f"Mend them (data/quarantine.jsonl in the workspace lists all), or allow more with "
            f"spec.dataset.checks.maxBadFraction (now {checks.max_bad_fraction}) or checks.schema: Drop",
            reason="BadRows",
        )


def held_back_digests(sources: list[Source]) -> dict[bytes, str]:
    """Return the normalised digests of rows that training must not see, with their places."""
    return {
        digest(normalised(example)): f"{row.file} row {row.number}"
        for source in sources
        for row, example in examples(source)
        if isinstance(example, Example)
    }
