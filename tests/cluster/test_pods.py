"""Pods as processes: logs through the API server, memory limits, and a cluster that stops, or dies, and comes back."""

from typing import Any

import pytest

from cluster.harness.under_test import ClusterUnderTest, condition_of
from cluster.harness.worlds import LocalWorld
from kubetune_local.client import PODS

JSON = dict[str, Any]


def pod_spec(script: str, **container: Any) -> JSON:
    """Return the spec of a pod that runs a shell script once."""
    one = {"name": "c", "image": "none", "command": ["sh", "-c", script], **container}
    return {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "containers": [one]}


def pod(name: str, script: str, **container: Any) -> JSON:
    """Return a pod that runs a shell script once."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_spec(script, **container)}


def job(name: str, script: str) -> JSON:
    """Return a Job that forgives disruptions and nothing else."""
    forgiving = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    spec = {
        "backoffLimit": 0,
        "podFailurePolicy": {"rules": [forgiving]},
        "template": {"spec": pod_spec(script)},
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def phase(obj: JSON | None) -> str:
    """Return the phase of a pod."""
    return str(((obj or {}).get("status") or {}).get("phase"))


def finished(obj: JSON | None) -> bool:
    """Tell whether a pod has ended."""
    return phase(obj) in ("Succeeded", "Failed")


@pytest.fixture
def local(cluster: ClusterUnderTest) -> LocalWorld:
    """The world, which has to be one of this machine."""
    assert isinstance(cluster.world, LocalWorld), "these tests are about the kubelet of this project"
    return cluster.world


async def test_logs_are_followed_through_the_api_server(cluster: ClusterUnderTest, local: LocalWorld) -> None:
    await cluster.create(pod("talker", "for i in 1 2 3; do echo line $i; sleep 0.2; done"))
    await cluster.wait_for("Pod", "talker", lambda obj: phase(obj) == "Running" or finished(obj))
    path = PODS.path(cluster.namespace, "talker", "log")
    assert await cluster.client.request("GET", path, params={"follow": "true"}) == "line 1\nline 2\nline 3\n"
    tail = await cluster.client.request("GET", path, params={"tailLines": "1", "timestamps": "true"})
    assert tail.endswith("Z line 3\n")


async def test_a_container_over_its_memory_limit_is_killed(cluster: ClusterUnderTest, local: LocalWorld) -> None:
    limit = {"limits": {"memory": "64Mi"}}
    script = "python3 -c 'import signal; x = bytearray(200 << 20); signal.pause()'"
    await cluster.create(pod("greedy", script, resources=limit))
    found = await cluster.wait_for("Pod", "greedy", finished)
    ended = found["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


async def test_a_pod_for_which_there_is_no_accelerator_waits_and_says_why(cluster: ClusterUnderTest) -> None:
    await cluster.create(pod("wants", "true", resources={"limits": {"nvidia.com/gpu": "8"}}))
    found = await cluster.wait_for("Pod", "wants", lambda obj: condition_of(obj, "PodScheduled")["status"] == "False")
    assert "Insufficient nvidia.com/gpu" in condition_of(found, "PodScheduled")["message"]


async def test_a_job_goes_on_when_the_cluster_was_stopped_and_started(
    cluster: ClusterUnderTest, local: LocalWorld
) -> None:
    await cluster.create(job("long", "trap 'exit 75' TERM; while true; do sleep 0.1; done"))

    async def running() -> list[JSON]:
        return [each for each in await cluster.list("Pod") if phase(each) == "Running"]

    (first,) = await cluster.wait_until(running)
    await cluster.restart_world()
    (second,) = await cluster.wait_until(running)
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    (stopped,) = [each for each in await cluster.list("Pod") if each["metadata"]["uid"] == first["metadata"]["uid"]]
    assert condition_of(stopped, "DisruptionTarget")["reason"] == "TerminationByKubelet"
    assert stopped["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 75
    await cluster.client.delete(PODS, second["metadata"]["name"], cluster.namespace)


async def test_a_pod_runs_on_when_the_cluster_was_killed(cluster: ClusterUnderTest, local: LocalWorld) -> None:
    await cluster.create(pod("steady", "i=0; while [ $i -lt 300 ]; do i=$((i+1)); sleep 0.1; done"))
    before = await cluster.wait_for("Pod", "steady", lambda obj: phase(obj) == "Running")
    await cluster.restart_world(crash=True)
    after = await cluster.wait_for("Pod", "steady", lambda obj: phase(obj) == "Running")
    started = [each["status"]["containerStatuses"][0]["state"] for each in (before, after)]
    assert started[0] == started[1]
    await cluster.client.delete(PODS, "steady", cluster.namespace)
