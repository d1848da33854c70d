"""Two pods train one model: with the losses of one pod, and as a whole again when one of them is killed."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.harness.operator import Operator
from cluster.harness.training import step_of
from cluster.harness.under_test import JSON, ClusterUnderTest
from cluster.test_real_trainer import SIZES, TRAINING, Inputs, place
from kubetune_api import names
from kubetune_api.run import Layout
from unit.trainer import tiny

DEADLINE = 300.0
pytestmark = [pytest.mark.long, pytest.mark.timeout(4 * DEADLINE)]


@pytest.fixture(scope="module", autouse=True)
def real_trainer(session_operator: Operator) -> Iterator[None]:
    """The operator starts the real trainer, on volumes that several nodes may mount, while this module runs."""
    session_operator.stop()
    command = shlex.join([sys.executable, "-m", "kubetune_trainer"])
    session_operator.start(KUBETUNE_TRAINER_COMMAND=command, KUBETUNE_ACCESS_MODE="ReadWriteMany")
    yield
    session_operator.stop()
    session_operator.start()


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """A tiny Llama with a tokenizer of its own."""
    tiny.write_model(tmp_path / "model", **SIZES)
    return Inputs(tmp_path)


def on_nodes(inputs: Inputs, name: str, train: JSON, nodes: int) -> JSON:
    """Return a job on some nodes."""
    resources = {"accelerator": {"count": 0}, "cpu": "1", "memory": "2Gi", "nodes": nodes}
    return inputs.job(name, train, resources=resources, training=TRAINING | {"globalBatchTokens": 4096})


async def losses(cluster: ClusterUnderTest, job: JSON) -> list[float]:
    """Return the loss of every step."""
    root = await place(cluster, f"pvc://{names.workspace_name(job['metadata']['name'], job['metadata']['uid'])}")
    lines = (root / Layout.REPORTS / "metrics.jsonl").read_text().splitlines()
    return [entry["loss"] for line in lines if "loss" in (entry := json.loads(line))]


async def test_two_pods_train_as_one_does_also_when_one_is_killed(cluster: ClusterUnderTest, inputs: Inputs) -> None:
    train = inputs.rows("train.jsonl", tiny.questions(160))
    await cluster.apply(on_nodes(inputs, "gang", train, 2))
    job = await cluster.wait_for("FineTuneJob", "gang", lambda obj: step_of(obj) >= 6, DEADLINE)
    pods = await cluster.children("Pod", job, "train")
    assert len(pods) == 2
    second = next(pod for pod in pods if "-1-" in pod["metadata"]["name"])
    await cluster.kill_trainer(second)
    gang = await cluster.succeeded("FineTuneJob", "gang", DEADLINE)

    assert gang["status"]["runs"] == 2, "the gang was started once more, as a whole"
    attempts = [attempt for attempt in gang["status"]["attempts"] if attempt["stage"] == "train"]
    assert [attempt.get("exitCode") for attempt in attempts] == [137, 0]

    await cluster.apply(on_nodes(inputs, "one", train, 1))
    one = await cluster.succeeded("FineTuneJob", "one", DEADLINE)
    together, by_itself = await asyncio.gather(losses(cluster, gang), losses(cluster, one))
    assert len(together) == len(by_itself) == 40
    assert together == pytest.approx(by_itself, rel=1e-4)
    last = [float(each["status"]["progress"]["stepLoss"]) for each in (gang, one)]
    assert last == pytest.approx([by_itself[-1]] * 2, rel=1e-4)
