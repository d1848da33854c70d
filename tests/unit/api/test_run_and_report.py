"""Run file, run report, exit codes and names: the documents that cross between operator and trainer."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from kubetune_api import names
from kubetune_api.conditions import Artifact
from kubetune_api.evalstatus import CandidateResult, MetricResult
from kubetune_api.exits import PERMANENT, REASONS, Exit, reason_of
from kubetune_api.ftjstatus import DatasetStatus, Progress
from kubetune_api.report import (
    MARKER,
    TERMINATION_LIMIT,
    DatasetLine,
    EvalProgressLine,
    FinalLine,
    ProgressLine,
    format_line,
    parse_line,
    parse_termination,
)
from kubetune_api.run import RunFile, digest_of

UID = "5b0c6c26-8a0b-4f0e-9d66-0f5d3c1f2a10"
IDENTITY = {"kind": "FineTuneJob", "namespace": "team", "name": "bot", "uid": UID}


def run_file(**fields: Any) -> RunFile:
    """Return a run file."""
    return RunFile.model_validate({"stage": "train", "run": IDENTITY} | fields)


def final(**fields: Any) -> FinalLine:
    """Return how a stage ended."""
    return FinalLine.model_validate({"exitCode": 0, "reason": "Completed", "message": "done"} | fields)


def results(count: int) -> list[MetricResult]:
    """Return so many results."""
    candidates = [CandidateResult(name=f"candidate-{index}", value="0.123456") for index in range(5)]
    return [
        MetricResult(task="clauses", metric=f"rouge{index}", candidates=candidates, n=100) for index in range(count)
    ]


def test_run_file_reads_back_as_it_was_written() -> None:
    run = run_file(model={"uri": "hf://a/b"}, compute={"accelerators": 1, "cpu": 8, "memoryBytes": 2**36})
    assert RunFile.model_validate_json(json.dumps(run.dump())) == run


def test_run_file_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValidationError, match="learning_rte"):
        run_file(learning_rte="1")


def test_run_file_refuses_another_version() -> None:
    with pytest.raises(ValidationError, match="'v1'"):
        run_file(version="v2")


@pytest.mark.parametrize(
    "place",
    [
        {"stage": "prepare"},
        {"run": IDENTITY | {"name": "other"}},
        {"workspace": "/elsewhere"},
        {"workspaceUri": "pvc://claim"},
        {"compute": {"cpu": 64}},
        {"image": "registry.example/trainer:2"},
        {"tracking": {"wandb": {"project": "p"}}},
    ],
)
def test_config_digest_does_not_hang_on_places(place: dict[str, Any]) -> None:
    assert run_file(**place).config_digest() == run_file().config_digest()


@pytest.mark.parametrize(
    "setting", [{"training": {"seed": 1}}, {"method": {"tuning": "Full"}}, {"model": {"uri": "hf://c/d"}}]
)
def test_config_digest_hangs_on_what_decides_the_result(setting: dict[str, Any]) -> None:
    assert run_file(**setting).config_digest() != run_file().config_digest()


def test_digest_is_the_same_for_another_order_of_keys() -> None:
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert digest_of({}).startswith("sha256:")


@pytest.mark.parametrize(
    "line",
    [
        ProgressLine(progress=Progress(step=3, total_steps=10, loss="1.5")),
        EvalProgressLine(percent=40, candidate="tuned", task="clauses", remaining_seconds=9),
        DatasetLine(dataset=DatasetStatus(examples=5, dropped={"duplicates": 2})),
        final(),
    ],
)
def test_line_reads_back_as_it_was_written(line: Any) -> None:
    text = format_line(line)
    assert "\n" not in text
    assert parse_line(text) == line
    assert parse_line(f"{text}\r\n") == line


@pytest.mark.parametrize(
    "text", ["", "loss 1.5", MARKER, f"{MARKER} {{", f'{MARKER} {{"type": "Other"}}', f"x{MARKER} {{}}"]
)
def test_line_for_people_is_no_report(text: str) -> None:
    assert parse_line(text) is None


@given(st.text())
def test_no_line_of_a_log_breaks_the_reader(text: str) -> None:
    parse_line(f"{MARKER} {text}")
    parse_termination(text)


def test_line_that_was_cut_is_no_report() -> None:
    text = format_line(ProgressLine(progress=Progress(step=3, total_steps=10)))
    assert all(parse_line(text[:end]) is None for end in range(len(text)))


def test_termination_message_reads_back() -> None:
    line = final(artifacts=[Artifact(type="Adapter", uri="pvc://a/b", digest="sha256:0", size_bytes=9)])
    assert parse_termination(line.termination_message()) == line


@pytest.mark.parametrize("text", [None, "", "Traceback (most recent call last)", "{}"])
def test_message_of_a_trainer_that_died_is_no_report(text: str | None) -> None:
    assert parse_termination(text) is None


def test_termination_message_gives_up_the_large_parts_first() -> None:
    line = final(verdict="tuning is better", results=results(32))
    text = line.termination_message()
    read = parse_termination(text)
    assert len(text.encode()) <= TERMINATION_LIMIT
    assert read is not None
    assert (read.reason, read.verdict, read.results) == ("Completed", "tuning is better", None)


@given(
    st.text(max_size=2000)
    | st.builds(lambda piece, times: piece * times, st.text(min_size=1, max_size=9), st.integers(1, 9000))
)
@example("\x00" * 2000)
@example("\N{SLICE OF PIZZA}" * 5000)
def test_termination_message_fits_whatever_is_said(message: str) -> None:
    text = final(message=message, verdict="v" * 5000).termination_message()
    assert len(text.encode()) <= TERMINATION_LIMIT
    assert parse_termination(text) is not None


def test_every_exit_code_has_a_reason() -> None:
    assert set(REASONS) == set(Exit)
    assert len(set(REASONS.values())) == len(Exit)
    assert [reason_of(code) for code in (0, 65, 137, 3)] == ["Completed", "BadDataset", "Killed", "ExitCode3"]


def test_permanent_codes_are_those_that_another_attempt_cannot_mend() -> None:
    assert sorted(PERMANENT) == [64, 65, 66, 77, 78]


@given(st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", fullmatch=True), st.uuids(), st.integers(1, 99))
def test_child_names_fit_a_job_and_tell_owners_apart(owner: str, uid: Any, run: int) -> None:
    made = [
        names.workspace_name(owner, str(uid)),
        names.evaluation_name(owner, str(uid)),
        *(names.stage_name(owner, str(uid), stage, run) for stage in ("prepare", "train", "evaluate")),
    ]
    assert len(set(made)) == len(made)
    for name in made:
        assert len(name) <= names.MAX_CHILD_NAME
        assert name.endswith(names.short_hash(str(uid)))
        assert name == name.strip("-.")
        assert ".-" not in name


def test_another_run_of_a_stage_has_another_name() -> None:
    first, second = (names.stage_name("bot", UID, "train", run) for run in (1, 2))
    assert (first, second) == (f"bot-train-{names.short_hash(UID)}", f"bot-train-r2-{names.short_hash(UID)}")


@given(st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", fullmatch=True))
def test_label_values_fit(name: str) -> None:
    value = names.label_value(name)
    assert len(value) <= 63
    assert value[0].isalnum()
    assert value[-1].isalnum()
