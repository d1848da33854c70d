"""`kubetune explain` in a running cluster: what a run waits for, from what the API server really says."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cluster.harness.manifests import fine_tune_job
from cluster.harness.process import environment
from cluster.harness.under_test import JSON, ClusterUnderTest, condition_of
from cluster.harness.worlds import LocalWorld
from kubetune_local.client import NODES

pytestmark = pytest.mark.long

GPU = "nvidia.com/gpu"
SMALL = {"cpu": "100m", "memory": "256Mi"}


async def run(cluster: ClusterUnderTest, *arguments: str) -> str:
    """Run `kubetune explain` in the namespace of the test; returns what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kubetune_cli", "explain", *arguments),
        *("--kubeconfig", str(cluster.world.kubeconfig), "-n", cluster.namespace),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(COLUMNS="100", NO_COLOR="1"),
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return out.decode()


async def explain(cluster: ClusterUnderTest, *arguments: str) -> JSON:
    """Return the explanation as a document."""
    document: JSON = json.loads(await run(cluster, *arguments, "-o", "json"))
    return document


def waits_for(reason: str) -> Any:
    """Return what tells whether a run waits for a reason."""
    return lambda obj: condition_of(obj, "Progressing")["reason"] == reason


@pytest.fixture
async def accelerators(cluster: ClusterUnderTest) -> AsyncIterator[str]:
    """The one node of the world, with two accelerators as a device plugin would tell of them."""
    assert isinstance(cluster.world, LocalWorld), "a test may give accelerators to the nodes of its own cluster only"
    (node,) = await cluster.list("Node")
    name, label = node["metadata"]["name"], f"{GPU}.product"
    both = {"capacity": {GPU: "2"}, "allocatable": {GPU: "2"}}
    await _patch_status(cluster, name, {"status": both})
    await cluster.patch("Node", name, {"metadata": {"labels": {label: "H100"}}})
    yield name
    await cluster.patch("Node", name, {"metadata": {"labels": {label: None}}, "spec": {"unschedulable": None}})
    await _patch_status(cluster, name, {"status": {kind: {GPU: None} for kind in both}})


async def _patch_status(cluster: ClusterUnderTest, name: str, body: JSON) -> None:
    path = NODES.path(None, name, "status")
    await cluster.client.request("PATCH", path, body=body, content_type="application/merge-patch+json")


async def test_busy_accelerators_are_told_with_who_holds_them(cluster: ClusterUnderTest, accelerators: str) -> None:
    wanted = {"accelerator": {"count": 2, "product": "H100"}, **SMALL}
    await cluster.apply(fine_tune_job("first", "train-steps-4000", resources=wanted))
    await cluster.wait_for("FineTuneJob", "first", lambda obj: (obj or {}).get("status", {}).get("progress"))
    await cluster.apply(fine_tune_job("second", resources=wanted))
    job = await cluster.wait_for("FineTuneJob", "second", waits_for("Unschedulable"))
    holder = f"{cluster.namespace}/first (2)"
    assert f"all in use by {holder}" in condition_of(job, "Progressing")["message"]
    told = await explain(cluster, "second")
    assert (told["state"], told["reason"], told["cause"]) == ("Waiting", "Unschedulable", "Busy")
    assert f"needs 2 x H100 on one node; node {accelerators} has them, all in use by {holder}" in told["message"]
    assert told["seconds"] >= 0
    running = await explain(cluster, "ftj/first")
    assert running["state"] == "Running"
    assert "of 4000" in running["message"]


async def test_a_cordoned_node_is_named_with_the_command_that_opens_it(
    cluster: ClusterUnderTest, accelerators: str
) -> None:
    await cluster.patch("Node", accelerators, {"spec": {"unschedulable": True}})
    await cluster.apply(fine_tune_job("job"))
    await cluster.wait_for("FineTuneJob", "job", waits_for("Unschedulable"))
    told = await explain(cluster, "job")
    assert told["cause"] == "Closed"
    assert f"kubectl uncordon {accelerators}" in told["todo"]
    await cluster.patch("Node", accelerators, {"spec": {"unschedulable": None}})
    await cluster.succeeded("FineTuneJob", "job")


async def test_what_no_node_can_take_names_the_nearest_miss(cluster: ClusterUnderTest, accelerators: str) -> None:
    await cluster.apply(fine_tune_job("job", resources={"accelerator": {"count": 4}, **SMALL}))
    await cluster.wait_for("FineTuneJob", "job", waits_for("Unschedulable"))
    told = await explain(cluster, "job", "--kind", "ftj")
    assert told["cause"] == "Impossible"
    assert f"Nearest: node {accelerators} has 2 {GPU} (asked: 4)" in told["message"]
    assert "lower resources.accelerator.count" in told["message"]
    page = await run(cluster, "job")
    assert "What you can do" in page
    assert f"kubectl get nodes -L {GPU}.product" in page


async def test_a_claim_that_does_not_exist_is_hopeless(cluster: ClusterUnderTest) -> None:
    await cluster.apply(fine_tune_job("job", dataset={"train": [{"uri": "pvc://no-such-claim/data.jsonl"}]}))
    await cluster.wait_for("FineTuneJob", "job", waits_for("ClaimNotFound"))
    told = await explain(cluster, "job")
    assert (told["reason"], told["hopeless"]) == ("ClaimNotFound", True)
    assert f"kubectl get pvc no-such-claim -n {cluster.namespace}" in told["todo"]


async def test_runs_that_are_over_or_held_are_told_too(cluster: ClusterUnderTest) -> None:
    await cluster.apply(fine_tune_job("good"))
    await cluster.apply(fine_tune_job("bad", "prepare-exit-65"))
    await cluster.apply(fine_tune_job("held", suspend=True))
    await cluster.succeeded("FineTuneJob", "good")
    await cluster.finished("FineTuneJob", "bad")
    assert (await explain(cluster, "good"))["todo"] == [f"kubetune results ftj/good -n {cluster.namespace}"]
    bad = await explain(cluster, "bad")
    assert (bad["state"], bad["reason"]) == ("Failed", "BadDataset")
    assert [attempt["exitCode"] for attempt in bad["attempts"]] == [65]
    held = await explain(cluster, "held")
    assert held["state"] == "Suspended"
    assert "--type merge" in held["todo"][0]
