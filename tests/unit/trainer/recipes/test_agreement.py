"""What the operator lets through, the trainer does; what it refuses as not supported, the trainer refuses as well."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from enum import StrEnum
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kubetune_api.dataset import CheckAction, PiiAction
from kubetune_api.evalrun import Metric, Task, TaskType
from kubetune_api.finetunejob import OutputFormat
from kubetune_api.method import Objective, Tuning
from kubetune_api.model import DataSource
from kubetune_api.training import Optimizer, Toggle
from kubetune_local.launch.pki import Pki
from kubetune_operator.plan.unsupported import EVAL_RUN, FINETUNE_JOB, NotYet, refuse
from kubetune_trainer.errors import BadDataset, BadSpec, TrainerError
from kubetune_trainer.recipes import prepare, train
from kubetune_trainer.scoring.task_metrics import task_problem
from kubetune_trainer.sources import fetch_data
from unit.trainer import tiny
from unit.trainer.recipes.runs import Job, new_job

URI = "s3://bucket/tuned"
#: Field -> every value that is worth a try; every field of the operator's table for a FineTuneJob is here.
VALUES: dict[str, list[Any]] = {
    "method.objective": list(Objective),
    "method.tuning": list(Tuning),
    "training.optimizer": list(Optimizer),
    "training.compile": list(Toggle),
    "output.uri": [URI],
    "output.formats.*": list(OutputFormat),
    "tracking": [{"mlflow": {"trackingUri": "http://mlflow"}}],
    "dataset.checks.pii": list(PiiAction),
    "dataset.checks.toxicity": list(CheckAction),
    "dataset.columns.label": ["a"],
    "dataset.columns.chosen": ["a"],
    "dataset.columns.rejected": ["a"],
    "dataset.stratifyBy": ["a"],
}
#: Refused by the operator for a reason of its own, or tried with a real source below.
ELSEWHERE = {
    "model.uri",
    "model.trustRemoteCode",
    "dataset.train.*.uri",
    "dataset.validation.sources.*.uri",
    "dataset.heldOut.*.uri",
    "method.spectrum",
    "method.quantization",
    "output.credentialsSecret",
}


def document(path: str, value: Any) -> dict[str, Any]:
    """Return a spec in which one field is set."""
    first, _, rest = path.partition(".")
    if first == "*":
        return [document(rest, value) if rest else value]  # type: ignore[return-value]
    return {first: document(rest, value) if rest else value}


def refused(table: tuple[NotYet, ...], path: str, value: Any) -> bool:
    plain = value.value if isinstance(value, StrEnum) else value
    return bool(list(refuse(document(path, plain), table)))


def trainer_refuses(path: str, value: Any) -> bool:
    plain = value.value if isinstance(value, StrEnum) else value
    run = tiny.run_file("train", Path("/ws"), Path("/model"), Path("/data.jsonl"), **document(path, plain))
    try:
        train._checked(run)
        assert run.dataset is not None
        prepare.checked(run.dataset)
    except BadSpec as error:
        return error.reason == "NotSupportedYet"
    return False


def test_every_field_of_the_table_is_tried() -> None:
    assert {entry.path for entry in FINETUNE_JOB} == VALUES.keys() | ELSEWHERE


@pytest.mark.parametrize(("path", "value"), [(path, value) for path, values in VALUES.items() for value in values])
def test_operator_and_trainer_refuse_the_same(path: str, value: Any) -> None:
    assert refused(FINETUNE_JOB, path, value) is trainer_refuses(path, value), f"{path}: {value}"


@pytest.mark.parametrize("kind", list(TaskType))
def test_tasks_of_an_evaluation_are_refused_by_both(kind: TaskType) -> None:
    assert refused(EVAL_RUN, "tasks.*.type", kind) is not_supported(type=kind)


@pytest.mark.parametrize("metric", list(Metric))
def test_metrics_of_an_evaluation_are_refused_by_both(metric: Metric) -> None:
    assert refused(EVAL_RUN, "tasks.*.metrics.*", metric) is not_supported(metrics=[metric])


def not_supported(**task: Any) -> bool:
    fields = {"name": "a", "type": "Generation", "dataset": {"uri": "pvc://d/a.jsonl"}} | task
    return "not supported yet" in (task_problem(Task.model_validate(fields)) or "")


@pytest.mark.parametrize("scheme", ["hf", "pvc", "s3", "file", "https", "gs"])
def test_schemes_that_the_operator_lets_through_are_read(scheme: str, tmp_path: Path) -> None:
    uri = f"{scheme}://127.0.0.1:1/rows.jsonl"
    source = DataSource.model_validate({"uri": uri})
    if refused(FINETUNE_JOB, "dataset.train.*.uri", uri):
        with pytest.raises(BadSpec, match="cannot be read"):
            fetch_data(source, tmp_path)
    else:
        assert scheme != "gs"


def test_a_download_that_is_a_model_is_one_file() -> None:
    assert not refused(FINETUNE_JOB, "model.uri", "https://host/tiny.Q4_K_M.gguf?download=true")
    assert refused(FINETUNE_JOB, "model.uri", "https://host/tiny")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return new_job(tmp_path, rows=20)


@pytest.fixture
def site(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An https server that has the job's folder."""
    pki = Pki(tmp_path / "pki")
    pair = pki.server("site")

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(job.folder))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.ca.certificate))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_data_is_prepared_from_an_https_address(job: Job, site: str) -> None:
    final, log = job.prepare(dataset={"train": [{"uri": f"{site}/{job.data.name}"}]})
    assert final.dataset is not None
    assert (final.dataset.examples, final.dataset.validation) == (18, 2)
    assert f"Reading {site}/{job.data.name}" in log


def messy(job: Job) -> Job:
    """Twenty good rows, and one each that is almost another, answers another way, and has personal data."""
    rows: list[Any] = tiny.questions(20)
    long = " ".join(first + second for first in "abcdefg" for second in "hijklm")
    rows += [{"instruction": long, "output": "red"}, {"instruction": long + " zz", "output": "red"}]
    rows += [{"instruction": rows[0]["instruction"], "output": "another answer than before"}]
    rows += [{"instruction": "who is it", "output": "write to jane.roe@company.org"}]
    return Job(job.folder, job.model, tiny.write_rows(job.folder / "messy.jsonl", rows))


CHECKS: list[tuple[str, str]] = [
    ("nearDuplicates", "NearDuplicatesFound"),
    ("contradictions", "ContradictionsFound"),
    ("pii", "PersonalDataFound"),
]


@pytest.mark.parametrize(("check", "reason"), CHECKS)
def test_what_a_check_finds_is_dropped_kept_or_ends_the_run_as_told(job: Job, check: str, reason: str) -> None:
    for action in ("Drop", "Fail", "Warn", "Off"):
        assert not refused(FINETUNE_JOB, f"dataset.checks.{check}", action)

    def prepared(action: str) -> Callable[[], Any]:
        checks = {"nearDuplicates": "Off", "contradictions": "Off", "pii": "Off", check: action}
        return lambda: messy(job).prepare(dataset={"checks": checks}, training={"sequenceLength": 256})[0].dataset

    kept, dropped = prepared("Warn")(), prepared("Drop")()
    assert kept.dropped is None
    assert dropped.dropped == {check: 1}
    assert dropped.examples + dropped.validation == kept.examples + kept.validation - 1
    with pytest.raises(TrainerError) as caught:
        prepared("Fail")()
    assert isinstance(caught.value, BadDataset)
    assert (caught.value.reason, f"checks.{check}: Drop" in caught.value.message) == (reason, True)
