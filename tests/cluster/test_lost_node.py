"""What the node does to a run: it no longer answers, or its memory runs out."""

import asyncio

import pytest

from cluster.harness.manifests import fine_tune_job
from cluster.harness.under_test import JSON, ClusterUnderTest, condition_of
from kubetune_local.client import NODES

pytestmark = pytest.mark.long

NPU = "example.com/npu"
RESOURCES = {"accelerator": {"count": 1, "resourceName": NPU}, "cpu": "100m", "memory": "256Mi"}
MERGE = "application/merge-patch+json"


async def ghost(cluster: ClusterUnderTest, name: str) -> None:
    """Make a node without a kubelet that offers the one accelerator there is."""
    amounts = {NPU: "1", "cpu": "8", "memory": "16Gi", "pods": "10"}
    labels = {"kubernetes.io/hostname": name}
    # Its taint keeps everything off that does not ask for the accelerator.
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
    await cluster.client.create(NODES, body)
    await status_of_node(cluster, name, amounts)
    taints = [{"key": NPU, "value": "true", "effect": "NoSchedule"}]
    await cluster.client.patch(NODES, name, {"spec": {"taints": taints}}, None)


async def status_of_node(cluster: ClusterUnderTest, name: str, amounts: JSON, ready: str = "True") -> None:
    """Write what a kubelet would say of its node."""
    condition = {"type": "Ready", "status": ready, "reason": "Test", "message": ""}
    status: JSON = {"capacity": amounts, "allocatable": amounts}
    if ready:
        status["conditions"] = [condition]
    path = NODES.path(None, name) + "/status"
    await cluster.client.request("PATCH", path, body={"status": status}, content_type=MERGE)


async def runs_on(cluster: ClusterUnderTest, pod: JSON) -> None:
    """Write what a kubelet would say of a pod that it has started."""
    started = pod["metadata"]["creationTimestamp"]
    container = {
        "name": "trainer",
        "image": "x",
        "imageID": "x",
        "ready": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": started}},
    }
    body = {"status": {"phase": "Running", "startTime": started, "containerStatuses": [container]}}
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/{pod['metadata']['name']}/status"
    await cluster.client.request("PATCH", path, body=body, content_type=MERGE)


async def test_a_run_leaves_a_node_that_does_not_answer_and_its_old_pod_behind(cluster: ClusterUnderTest) -> None:
    cluster.operator.stop()
    cluster.operator.start(KUBETUNE_NODE_LOST_GRACE_SECONDS="3")
    name = f"ghost-{cluster.namespace}"
    await ghost(cluster, name)
    (real,) = {node["metadata"]["name"] for node in await cluster.list("Node")} - {name}
    try:
        job = await cluster.apply(fine_tune_job("job", retries=0, resources=RESOURCES))

        async def placed() -> JSON | None:
            pods = await cluster.children("Pod", job, "train")
            return next((pod for pod in pods if pod["spec"].get("nodeName") == name), None)

        pod = await cluster.wait_until(placed, deadline=150, what="a pod on the ghost")
        assert pod is not None
        await runs_on(cluster, pod)
        await cluster.wait_for("FineTuneJob", "job", lambda obj: condition_of(obj, "Running")["status"] == "True")
        await status_of_node(cluster, real, {NPU: "1"}, ready="")
        await cluster.delete("Pod", pod["metadata"]["name"])
        done = await cluster.succeeded("FineTuneJob", "job", deadline=150)
        first, second = [attempt for attempt in done["status"]["attempts"] if attempt["stage"] == "train"]
        assert (first["reason"], first["node"]) == ("NodeLost", name)
        assert (second["exitCode"], second["node"]) == (0, real)
        assert done["status"]["adjustments"] == {"avoidedNodes": [name]}
        assert (done["status"].get("failures"), done["status"]["disruptions"], done["status"]["runs"]) == (None, 1, 2)
        assert "epoch 3" in second["message"]
        left = await cluster.get("Pod", pod["metadata"]["name"])
        assert left is not None, "the pod of the lost node is still there, as Kubernetes leaves it"
    finally:
        await cluster.client.delete(NODES, name)
        await status_of_node(cluster, real, {NPU: None}, ready="")
        await asyncio.to_thread(cluster.operator.stop)


async def test_training_whose_memory_ran_out_takes_half_the_next_time(cluster: ClusterUnderTest) -> None:
    await cluster.apply(fine_tune_job("job", "train-exit-71x2", retries=2))
    done = await cluster.succeeded("FineTuneJob", "job", deadline=150)
    attempts = [attempt for attempt in done["status"]["attempts"] if attempt["stage"] == "train"]
    assert [attempt["exitCode"] for attempt in attempts] == [71, 71, 0]
    assert "divisor 4" in attempts[-1]["message"]
    assert done["status"]["adjustments"] == {"microBatchDivisor": 4}
    assert done["status"]["failures"] == 2
    events = [each for each in await cluster.list("Event") if each["reason"] == "MicroBatchReduced"]
    assert events


async def test_a_container_that_is_killed_for_memory_takes_half_the_next_time(cluster: ClusterUnderTest) -> None:
    await cluster.apply(fine_tune_job("job", "train-hog-x1", retries=1))
    done = await cluster.succeeded("FineTuneJob", "job", deadline=150)
    first, second = [attempt for attempt in done["status"]["attempts"] if attempt["stage"] == "train"]
    assert (first["exitCode"], first["reason"]) == (137, "OutOfMemory")
    assert "divisor 2" in second["message"]
