"""The operator runs the real trainer, with torch, on a tiny model and generated data."""

import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.harness.operator import Operator
from cluster.harness.training import running_trainer
from cluster.harness.under_test import JSON, ClusterUnderTest, condition_of
from kubetune_api import names
from kubetune_api.run import Layout
from kubetune_local.client import CLAIMS, VOLUMES
from unit.trainer import tiny

pytestmark = pytest.mark.long

DEADLINE = 120.0
#: Large enough that a step takes a while, so that a kill comes between two checkpoints.
SIZES = {"hidden_size": 128, "intermediate_size": 256, "head_dim": 32}
TRAINING = {
    "maxSteps": 40,
    "globalBatchTokens": 2048,
    "sequenceLength": 128,
    "learningRate": "5e-3",
    "precision": "FP32",
    "evaluateEvery": {"steps": 20},
    "checkpoints": {"everySteps": 5},
}


@pytest.fixture(scope="module", autouse=True)
def real_trainer(session_operator: Operator) -> Iterator[None]:
    """The operator starts the real trainer while the tests of this module run, and the stand-in afterwards."""
    session_operator.stop()
    session_operator.start(KUBETUNE_TRAINER_COMMAND=shlex.join([sys.executable, "-m", "kubetune_trainer"]))
    yield
    session_operator.stop()
    session_operator.start()


@dataclass(frozen=True)
class Inputs:
    """A model and data on this machine."""

    folder: Path

    def rows(self, name: str, rows: list[JSON]) -> JSON:
        """Write rows; returns their source."""
        return {"uri": tiny.write_rows(self.folder / name, rows).as_uri()}

    def job(self, name: str, train: JSON, **spec: object) -> JSON:
        """Return a LoRA job on one core of this machine."""
        body: JSON = {
            "model": {"uri": (self.folder / "model").as_uri()},
            "dataset": {"train": [train], "validation": {"fraction": "0.1"}},
            "method": {"lora": {"rank": 8}},
            "training": TRAINING,
            "resources": {"accelerator": {"count": 0}, "cpu": "1", "memory": "2Gi"},
            "workspace": {"size": "256Mi"},
        }
        return {
            "apiVersion": "kubetune.io/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": name},
            "spec": body | spec,
        }


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """A tiny Llama with a tokenizer of its own."""
    tiny.write_model(tmp_path / "model", **SIZES)
    return Inputs(tmp_path)


async def place(cluster: ClusterUnderTest, uri: str) -> Path:
    """Return where a pvc:// uri of the cluster lies on this machine."""
    claim_name, _, path = uri.removeprefix("pvc://").partition("/")
    claim = await cluster.client.get(CLAIMS, claim_name, cluster.namespace)
    volume = await cluster.client.get(VOLUMES, claim["spec"]["volumeName"])
    return Path(volume["spec"]["hostPath"]["path"]) / path


async def outcome(cluster: ClusterUnderTest, job: JSON) -> tuple[bytes, str]:
    """Return the weights of a job's adapter and every loss on the way."""
    root = await place(cluster, f"pvc://{names.workspace_name(job['metadata']['name'], job['metadata']['uid'])}")
    weights = (root / Layout.ARTIFACTS / "adapter" / "adapter_model.safetensors").read_bytes()
    return weights, (root / Layout.REPORTS / "metrics.jsonl").read_text()


async def test_a_tuned_model_is_trained_compared_with_its_base_and_reported(
    cluster: ClusterUnderTest, inputs: Inputs
) -> None:
    held_out = inputs.rows("held-out.jsonl", tiny.questions(24, start=500))
    evaluation = {
        "tasks": [
            {"name": "surprise", "type": "Perplexity", "dataset": held_out},
            {"name": "answers", "type": "Generation", "dataset": held_out, "metrics": ["Rouge"], "maxNewTokens": 12},
        ],
        "comparison": {"resamples": 400},
        "gates": [{"name": "learnt", "metric": "surprise/perplexity", "improvesBy": "0"}],
    }
    train = inputs.rows("train.jsonl", tiny.questions(160))
    await cluster.apply(inputs.job("job", train, evaluation={"spec": evaluation}))
    job = await cluster.succeeded("FineTuneJob", "job", DEADLINE)
    status = job["status"]

    assert status["dataset"]["examples"] + status["dataset"]["validation"] == 160
    assert status["dataset"]["digest"] == status["lineage"]["datasetDigest"]
    assert status["lineage"]["configDigest"].startswith("sha256:")
    assert status["lineage"]["modelRevision"]
    assert status["progress"]["step"] == status["progress"]["totalSteps"] == 40
    assert status["resolved"]["precision"] == "FP32"
    for artifact in status["artifacts"]:
        folder = await place(cluster, artifact["uri"])
        assert (folder / "lineage.json").is_file(), artifact
    weights, losses = await outcome(cluster, job)
    assert weights
    assert losses.count('"loss"') == 40

    run = await cluster.succeeded("EvalRun", status["evaluation"])
    results = {(each["task"], each["metric"]): each for each in run["status"]["results"]}
    values = {each["name"]: float(each["value"]) for each in results["surprise", "perplexity"]["candidates"]}
    assert values["tuned"] < values["base"]
    assert results["surprise", "perplexity"]["n"] == 24
    assert {each["name"] for each in results["answers", "rougeL"]["candidates"]} == {"tuned", "base"}
    assert [(gate["name"], gate["passed"]) for gate in run["status"]["gates"]] == [("learnt", True)]
    assert condition_of(run, "GatesPassed")["status"] == "True"
    assert status["verdict"] == run["status"]["verdict"]
    report = (await place(cluster, run["status"]["report"])).read_text()
    assert report.startswith("<!doctype html>")
    assert "surprise" in report


async def test_a_killed_trainer_ends_exactly_as_one_that_was_left_alone(
    cluster: ClusterUnderTest, inputs: Inputs
) -> None:
    train = inputs.rows("train.jsonl", tiny.questions(160))
    await cluster.apply(inputs.job("killed", train))
    await cluster.kill_trainer(await running_trainer(cluster, "killed", step=6, deadline=DEADLINE))
    await cluster.apply(inputs.job("left-alone", train))
    killed = await cluster.succeeded("FineTuneJob", "killed", DEADLINE)
    left_alone = await cluster.succeeded("FineTuneJob", "left-alone", DEADLINE)

    attempts = [attempt for attempt in killed["status"]["attempts"] if attempt["stage"] == "train"]
    assert [attempt.get("exitCode") for attempt in attempts] == [137, 0]
    assert "40 of them" not in attempts[1]["message"], "it began anew"
    # `loss` is a mean since the last line, which depends on the clock; the validation loss is of the last step alone.
    assert killed["status"]["progress"]["evalLoss"] == left_alone["status"]["progress"]["evalLoss"]
    assert await outcome(cluster, killed) == await outcome(cluster, left_alone)


async def test_a_row_without_content_stops_the_job_before_it_trains(cluster: ClusterUnderTest, inputs: Inputs) -> None:
    rows: list[JSON] = [
        {"messages": [{"role": "user", "content": row["instruction"]}, {"role": "assistant", "content": row["output"]}]}
        for row in tiny.questions(20)
    ]
    rows[6]["messages"][1]["content"] = None
    dataset = {"train": [inputs.rows("chats.jsonl", rows)], "checks": {"schema": "Fail"}}
    await cluster.apply(inputs.job("job", {}, dataset=dataset))
    job = await cluster.finished("FineTuneJob", "job", DEADLINE)

    ready = condition_of(job, "DataReady")
    assert (ready["status"], ready["reason"]) == ("False", "BadRows")
    assert "row 7" in ready["message"]
    assert "chats.jsonl" in ready["message"]
    assert condition_of(job, "Failed")["reason"] == "BadRows"
    stages = [child["metadata"]["labels"][names.LABEL_STAGE] for child in await cluster.children("Job", job)]
    assert stages == ["prepare"]
