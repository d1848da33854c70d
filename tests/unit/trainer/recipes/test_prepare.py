"""The prepare stage: checks, split, quarantine, report; the same data is prepared once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kubetune_trainer.data.prepared import open_prepared
from kubetune_trainer.errors import BadDataset
from unit.trainer import tiny
from unit.trainer.recipes.runs import Job, new_job


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return new_job(tmp_path, rows=40)


def with_rows(job: Job, rows: list[Any]) -> Job:
    return Job(job.folder, job.model, tiny.write_rows(job.folder / "rows.jsonl", rows))


def report(job: Job) -> Any:
    return json.loads((job.workspace.reports / "data.json").read_text())


def test_the_data_is_split_counted_and_reported(job: Job) -> None:
    final, _ = job.prepare()
    assert final.dataset is not None
    assert (final.dataset.examples, final.dataset.validation) == (36, 4)
    assert final.dataset.report == "pvc://tiny-ws/reports/data.md"
    prepared = open_prepared(job.workspace.data)
    assert prepared.validation is not None
    assert final.dataset.tokens == int(prepared.train.lengths.sum())
    rows = {prepared.train.where(i) for i in range(36)} | {prepared.validation.where(i) for i in range(4)}
    assert rows == {f"train.jsonl row {number}" for number in range(1, 41)}
    page = (job.workspace.reports / "data.md").read_text()
    assert "36 train the model, 4 validate it" in page
    assert "<|im_start|>assistant\n«" in page


def test_unchanged_data_is_prepared_once(job: Job) -> None:
    first, _ = job.prepare()
    again, log = job.prepare()
    assert again == first
    assert "prepared already" in log


def test_changed_data_is_prepared_again(job: Job) -> None:
    first, _ = job.prepare()
    tiny.write_rows(job.data, tiny.questions(50))
    again, _ = job.prepare()
    assert again.dataset is not None
    assert again.dataset.examples == 45
    assert again.dataset.digest != (first.dataset.digest if first.dataset else None)


def test_the_digest_is_the_same_in_another_workspace(tmp_path: Path) -> None:
    digests = [new_job(tmp_path / name, rows=30).prepare()[0].dataset for name in ("one", "two")]
    assert digests[0] is not None
    assert digests[1] is not None
    assert digests[0].digest == digests[1].digest


def test_bad_rows_below_the_allowed_share_go_to_quarantine(job: Job) -> None:
    rows = [*tiny.questions(30), {"instruction": "x", "output": None}, "not a row"]
    job = with_rows(job, rows)
    final, _ = job.prepare(dataset={"checks": {"maxBadFraction": "0.1"}})
    assert final.dataset is not None
    assert final.dataset.dropped == {"schema": 2}
    lines = (job.workspace.data / "quarantine.jsonl").read_text().splitlines()
    assert [(entry["row"], entry["problem"]) for entry in map(json.loads, lines)] == [
        (31, "output is null"),
        (32, "a JSON object is due, this is a text"),
    ]


def test_checks_schema_drop_never_fails(job: Job) -> None:
    job = with_rows(job, [{"instruction": "x", "output": None}] * 20 + tiny.questions(2))
    final, _ = job.prepare(dataset={"checks": {"schema": "Drop"}})
    assert final.dataset is not None
    assert final.dataset.dropped == {"schema": 20}


def test_bad_rows_stay_in_quarantine_when_the_stage_fails(job: Job) -> None:
    job = with_rows(job, [{"instruction": "x", "output": None}, *tiny.questions(2)])
    with pytest.raises(BadDataset):
        job.prepare()
    assert json.loads((job.workspace.data / "quarantine.jsonl").read_text())["row"] == 1


@pytest.mark.parametrize(("action", "examples"), [("Drop", 20), ("Warn", 25), ("Off", 25)], ids=["Drop", "Warn", "Off"])
def test_duplicates_are_found_to_the_letter(job: Job, action: str, examples: int) -> None:
    job = with_rows(job, [*tiny.questions(20), *tiny.questions(5)])
    checks = {"duplicates": action, "nearDuplicates": "Off"}
    final, _ = job.prepare(dataset={"checks": checks, "validation": {"fraction": "0"}})
    assert final.dataset is not None
    assert final.dataset.examples == examples
    assert report(job)["checks"]["duplicates"]["rows"] == (0 if action == "Off" else 5)


def test_duplicates_fail_when_told_to(job: Job) -> None:
    job = with_rows(job, [*tiny.questions(20), *tiny.questions(5)])
    with pytest.raises(BadDataset) as caught:
        job.prepare(dataset={"checks": {"duplicates": "Fail"}})
    assert caught.value.reason == "DuplicatesFound"
    assert caught.value.message == (
        "5 training rows are equal to an earlier one: rows.jsonl row 21; rows.jsonl row 22; rows.jsonl row 23; and 2 "
        "more. Remove duplicates, or set spec.dataset.checks.duplicates: Drop"
    )


def test_leakage_is_found_without_regard_to_case_and_punctuation(job: Job) -> None:
    row = tiny.questions(1, start=5)[0]
    held_out = tiny.write_rows(job.folder / "test.jsonl", [{key: value.upper() + "!" for key, value in row.items()}])
    source = {"heldOut": [{"uri": held_out.as_uri()}]}
    with pytest.raises(BadDataset) as caught:
        job.prepare(dataset=source)
    assert "train.jsonl row 6 (equals test.jsonl row 1)" in caught.value.message
    final, _ = job.prepare(dataset=source | {"checks": {"leakage": "Drop"}})
    assert final.dataset is not None
    assert final.dataset.dropped == {"leakage": 1}
    assert final.dataset.held_out == 1


def test_validation_sources_are_used_and_never_trained_on(job: Job) -> None:
    other = tiny.write_rows(job.folder / "valid.jsonl", tiny.questions(6, start=100))
    final, _ = job.prepare(dataset={"validation": {"fraction": None, "sources": [{"uri": other.as_uri()}]}})
    assert final.dataset is not None
    assert (final.dataset.examples, final.dataset.validation) == (40, 6)


def test_a_group_never_stands_on_both_sides(job: Job) -> None:
    rows = [row | {"module": f"m{index % 8}"} for index, row in enumerate(tiny.questions(64))]
    job = with_rows(job, rows)
    job.prepare(dataset={"columns": {"group": "module"}, "validation": {"fraction": "0.25"}})
    prepared = open_prepared(job.workspace.data)
    assert prepared.validation is not None
    sides = [{int(row - 1) % 8 for row in split.origin[:, 1]} for split in (prepared.train, prepared.validation)]
    assert not sides[0] & sides[1]
    assert len(prepared.validation) == 16


def test_personal_data_and_contradictions_are_named_in_the_report(job: Job) -> None:
    rows = [
        {"instruction": "who?", "output": "write to jane.roe@firm.test, card 4111 1111 1111 1111"},
        {"instruction": "what is up?", "output": "the sky"},
        {"instruction": "what is up?", "output": "a lift"},
        *tiny.questions(20),
    ]
    job = with_rows(job, rows)
    job.prepare()
    checks = report(job)["checks"]
    assert checks["pii"]["kinds"] == {"e-mail": 1, "card": 1}
    assert checks["contradictions"] == {"rows": 1, "first": ["rows.jsonl row 3"]}


@pytest.mark.parametrize(
    ("rows", "template"),
    [
        ([{"text": "red blue green one two three"}] * 3 + [{"text": f"red {n} blue"} for n in range(20)], None),
        ([{"prompt": f"{n} and", "completion": " then"} for n in range(20)], None),
        (
            [
                {"messages": [{"role": "user", "content": f"{n}"}, {"role": "assistant", "content": "x"}]}
                for n in range(20)
            ],
            "x",
        ),
    ],
    ids=["Text", "Completion", "Chat"],
)
def test_every_format_is_prepared(tmp_path: Path, rows: list[Any], template: str | None) -> None:
    model = tiny.write_model(tmp_path / "model", template=tiny.TEMPLATE if template else None)
    job = Job(tmp_path, model, tiny.write_rows(tmp_path / "rows.jsonl", rows))
    job.prepare()
    prepared = open_prepared(job.workspace.data)
    for index in range(len(prepared.train)):
        ids, supervised = prepared.train.example(index)
        assert supervised.any()
        assert not supervised[0]
        assert np.flatnonzero(ids == 2).size > 0
