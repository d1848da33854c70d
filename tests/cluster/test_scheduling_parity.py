"""A pod that fits nowhere is told so in the words of kube-scheduler, and is placed when what it lacked is there.

The expected words hold in every world: in the embedded one our scheduler says them, in the control plane the real one.
"""

import asyncio
from typing import Any

import pytest

from cluster.harness.under_test import ClusterUnderTest, condition_of
from cluster.harness.worlds import LocalWorld

JSON = dict[str, Any]

NONE = "0/1 nodes are available"
PREEMPTION = f"no new claims to deallocate, preemption: {NONE}"
NOT_HELPFUL = f"{PREEMPTION}: 1 Preemption is not helpful for scheduling."
NO_VICTIMS = f"{PREEMPTION}: 1 No preemption victims found for incoming pod."
GPU = {"nvidia.com/gpu": "8"}
ELSEWHERE = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["elsewhere"]}]}
LARGE = {"matchExpressions": [{"key": "nvidia.com/gpu.memory", "operator": "Gt", "values": ["40000"]}]}
AFFINITY = f"1 node(s) didn't match Pod's node affinity/selector. {NOT_HELPFUL}"


def pod(name: str, resources: JSON | None = None, script: str = "true", **spec: Any) -> JSON:
    """Return a pod that runs a shell script."""
    command = ["sh", "-c", script]
    container = {"name": "c", "image": "none", "command": command, "resources": resources or {}}
    body = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 2, "containers": [container], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": body}


def mounting(claim: str) -> JSON:
    """Return the volumes of a pod that mounts a claim."""
    return {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]}


def claim(name: str, **spec: Any) -> JSON:
    """Return a claim of 1 MiB."""
    full = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}, **spec}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": full}


def requiring(*terms: JSON) -> JSON:
    """Return an affinity to nodes."""
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


REFUSED = [
    (pod("accelerator", {"limits": GPU}), f"1 Insufficient nvidia.com/gpu. {NOT_HELPFUL}"),
    (pod("cpu", {"requests": {"cpu": "9000"}}), f"1 Insufficient cpu. {NOT_HELPFUL}"),
    (pod("memory", {"requests": {"memory": "900Ti"}}), f"1 Insufficient memory. {NOT_HELPFUL}"),
    (
        pod("all", {"requests": {"cpu": "9000", "memory": "900Ti"} | GPU, "limits": GPU}),
        f"1 Insufficient cpu, 1 Insufficient memory, 1 Insufficient nvidia.com/gpu. {NOT_HELPFUL}",
    ),
    (pod("product", nodeSelector={"nvidia.com/gpu.product": "None-Such"}), AFFINITY),
    (pod("large", affinity=requiring(LARGE)), AFFINITY),
    (
        pod("elsewhere", affinity=requiring(ELSEWHERE)),
        f"1 node(s) didn't satisfy plugin(s) [NodeAffinity]. {NOT_HELPFUL}",
    ),
    (pod("no-claim", **mounting("absent")), 'persistentvolumeclaim "absent" not found. not found'),
    (pod("no-class", **mounting("unbound")), "pod has unbound immediate PersistentVolumeClaims. not found"),
]


@pytest.fixture
def local(cluster: ClusterUnderTest) -> LocalWorld:
    """The world, which has to be one of this machine: it has one node."""
    assert isinstance(cluster.world, LocalWorld), "these words are about a cluster of one node"
    return cluster.world


def refused(obj: JSON | None) -> bool:
    """Tell whether a pod was told that it fits nowhere."""
    return bool(condition_of(obj, "PodScheduled")["status"] == "False")


def placed(obj: JSON | None) -> bool:
    """Tell whether a pod has a node."""
    return bool(condition_of(obj, "PodScheduled")["status"] == "True")


async def test_a_pod_is_told_why_it_has_no_node(cluster: ClusterUnderTest, local: LocalWorld) -> None:
    await cluster.create(claim("unbound", storageClassName="none-such"))
    for manifest, _ in REFUSED:
        await cluster.create(manifest)
    names = [manifest["metadata"]["name"] for manifest, _ in REFUSED]
    found = await asyncio.gather(*(cluster.wait_for("Pod", name, refused) for name in names))
    said = {each["metadata"]["name"]: condition_of(each, "PodScheduled") for each in found}
    messages = {name: condition["message"] for name, condition in said.items()}
    assert messages == {manifest["metadata"]["name"]: f"{NONE}: {why}" for manifest, why in REFUSED}
    assert {condition["reason"] for condition in said.values()} == {"Unschedulable"}

    async def told() -> dict[str, str] | None:
        events = [each for each in await cluster.list("Event") if each["reason"] == "FailedScheduling"]
        texts = {each["involvedObject"]["name"]: each["message"] for each in events}
        return texts if len(texts) == len(REFUSED) else None

    assert await cluster.wait_until(told) == messages


async def test_a_pod_is_placed_when_its_claim_is_there(cluster: ClusterUnderTest, local: LocalWorld) -> None:
    await cluster.create(pod("waits", **mounting("late")))
    await cluster.wait_for("Pod", "waits", refused)
    await cluster.create(claim("late"))
    await cluster.wait_for("Pod", "waits", placed)


async def test_a_pod_is_placed_when_another_leaves_its_room(cluster: ClusterUnderTest, local: LocalWorld) -> None:
    (node,) = await cluster.list("Node")
    everything = {"requests": {"memory": node["status"]["allocatable"]["memory"]}}
    await cluster.create(pod("first", {"requests": {"memory": "1Mi"}}, script="exec sleep 60"))
    await cluster.wait_for("Pod", "first", placed)
    await cluster.create(pod("second", everything))
    found = await cluster.wait_for("Pod", "second", refused)
    said = condition_of(found, "PodScheduled")["message"]
    assert said == f"{NONE}: 1 Insufficient memory. {NO_VICTIMS}"
    await cluster.delete("Pod", "first")
    await cluster.wait_for("Pod", "second", placed)


async def test_a_pod_is_placed_when_it_can_bear_the_taints_of_the_node(
    cluster: ClusterUnderTest, local: LocalWorld
) -> None:
    (node,) = await cluster.list("Node")
    taint = {"key": "example.com/reserved", "value": "yes", "effect": "NoSchedule"}
    await cluster.patch("Node", node["metadata"]["name"], {"spec": {"taints": [taint]}})
    try:
        await cluster.create(pod("bears", tolerations=[{"key": "example.com/reserved", "operator": "Exists"}]))
        await cluster.create(pod("minds"))
        await cluster.wait_for("Pod", "bears", placed)
        found = await cluster.wait_for("Pod", "minds", refused)
        said = condition_of(found, "PodScheduled")["message"]
        assert said == f"{NONE}: 1 node(s) had untolerated taint(s). {NOT_HELPFUL}"
    finally:
        await cluster.patch("Node", node["metadata"]["name"], {"spec": {"taints": None}})
    await cluster.wait_for("Pod", "minds", placed)
