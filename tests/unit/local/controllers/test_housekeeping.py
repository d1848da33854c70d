"""Volumes, garbage, namespaces and cleaning up against an API server."""

import asyncio
from pathlib import Path
from typing import Any

from kubetune_local.client import (
    CLAIMS,
    CONFIGMAPS,
    CRDS,
    EVENTS,
    JOBS,
    NAMESPACES,
    PODS,
    SERVICE_ACCOUNTS,
    VOLUMES,
    ApiError,
    Resource,
)
from kubetune_local.controllers.cleanup import LostPods
from kubetune_local.controllers.run import run
from kubetune_local.informer import Informers

JSON = dict[str, Any]
World = Any


def owner(obj: JSON, **more: Any) -> JSON:
    meta = obj["metadata"]
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": meta["name"], "uid": meta["uid"], **more}


def claim(size: str = "1Mi", **spec: Any) -> JSON:
    return {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec}


def phase(wanted: str) -> Any:
    return lambda found: found is not None and found.get("status", {}).get("phase") == wanted


async def events_of(world: World, name: str, reason: str, seconds: float = 10.0) -> str:
    """Wait for an event, and return its message."""
    async with asyncio.timeout(seconds):
        while True:
            events, _ = await world.client.list(EVENTS, world.namespace)
            for event in events:
                if event["involvedObject"]["name"] == name and event["reason"] == reason:
                    return str(event["message"])
            await asyncio.sleep(0.05)


def _is_there(directory: Path) -> bool:
    return directory.is_dir()


async def test_a_claim_without_a_class_gets_a_directory_that_goes_with_it(world: World) -> None:
    await world.create(CLAIMS, "data", spec=claim())
    bound = await world.until(CLAIMS, "data", phase("Bound"))
    volume = await world.client.get(VOLUMES, bound["spec"]["volumeName"])
    directory = Path(volume["spec"]["hostPath"]["path"])
    assert _is_there(directory)
    assert directory.parent == world.folder
    assert (bound["spec"]["storageClassName"], bound["status"]["capacity"]) == ("local", {"storage": "1Mi"})
    await world.client.delete(CLAIMS, "data", world.namespace)
    await world.until_gone(CLAIMS, "data")
    await world.until_gone(VOLUMES, volume["metadata"]["name"])
    assert not _is_there(directory)


async def test_a_claim_larger_than_the_disk_stays_pending_and_says_so(world: World) -> None:
    await world.create(CLAIMS, "huge", spec=claim("900Pi"))
    assert "900Pi asked for, and" in await events_of(world, "huge", "ProvisioningFailed")
    assert (await world.find(CLAIMS, "huge"))["status"]["phase"] == "Pending"


async def test_a_claim_of_an_unknown_class_says_so(world: World) -> None:
    await world.create(CLAIMS, "fast", spec=claim(storageClassName="fast"))
    said = await events_of(world, "fast", "ProvisioningFailed")
    assert said == 'storageclass.storage.k8s.io "fast" not found'


async def test_a_volume_made_before_is_bound_and_then_released(world: World) -> None:
    name = f"made-{world.namespace}"
    spec = {"capacity": {"storage": "2Mi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/nowhere"}}
    await world.create(VOLUMES, name, spec=spec)
    await world.create(CLAIMS, "made", spec=claim(storageClassName="", volumeName=name))
    bound = await world.until(CLAIMS, "made", phase("Bound"))
    assert bound["status"]["capacity"] == {"storage": "2Mi"}
    await world.client.delete(CLAIMS, "made", world.namespace)
    await world.until(VOLUMES, name, phase("Released"))
    await world.client.delete(VOLUMES, name)
    await world.until_gone(VOLUMES, name)


async def test_a_claim_in_use_outlives_its_deletion(world: World) -> None:
    await world.create(CLAIMS, "used", spec=claim())
    await world.until(CLAIMS, "used", phase("Bound"))
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "used"}}
    container = {"name": "c", "image": "none"}
    await world.create(PODS, "user", spec={"nodeName": "nowhere", "containers": [container], "volumes": [volume]})
    await world.client.delete(CLAIMS, "used", world.namespace)
    await world.create(CONFIGMAPS, "marker")
    assert "deletionTimestamp" in (await world.find(CLAIMS, "used"))["metadata"]
    await world.client.delete(PODS, "user", world.namespace, grace=0)
    await world.until_gone(CLAIMS, "used")


async def test_dependents_go_with_their_last_owner_within_a_second(world: World) -> None:
    first, second = await world.create(CONFIGMAPS, "first"), await world.create(CONFIGMAPS, "second")
    await world.create(CONFIGMAPS, "both", metadata={"ownerReferences": [owner(first), owner(second)]})
    await world.client.delete(CONFIGMAPS, "first", world.namespace)
    left = await world.until(CONFIGMAPS, "both", lambda found: len(found["metadata"]["ownerReferences"]) == 1, 5)
    assert left["metadata"]["ownerReferences"][0]["name"] == "second"
    await world.client.delete(CONFIGMAPS, "second", world.namespace)
    await world.until_gone(CONFIGMAPS, "both", 1.0)


async def test_an_object_born_after_its_owner_is_collected_and_a_namesake_is_no_owner(world: World) -> None:
    namesake = await world.create(CONFIGMAPS, "parent")
    stale = {**owner(namesake), "uid": "00000000-0000-0000-0000-000000000000"}
    await world.create(CONFIGMAPS, "late", metadata={"ownerReferences": [stale]})
    await world.until_gone(CONFIGMAPS, "late", 5)
    assert await world.find(CONFIGMAPS, "parent") is not None


async def test_a_foreground_deletion_waits_for_what_blocks_it(world: World) -> None:
    parent = await world.create(CONFIGMAPS, "parent")
    reference = owner(parent, blockOwnerDeletion=True)
    held = {"ownerReferences": [reference], "finalizers": ["example.com/hold"]}
    await world.create(CONFIGMAPS, "child", metadata=held)
    await world.client.delete(CONFIGMAPS, "parent", world.namespace, propagation="Foreground")
    await world.until(CONFIGMAPS, "child", lambda found: "deletionTimestamp" in found["metadata"], 5)
    assert await world.find(CONFIGMAPS, "parent") is not None
    await world.client.patch(CONFIGMAPS, "child", {"metadata": {"finalizers": None}}, world.namespace)
    await world.until_gone(CONFIGMAPS, "parent", 5)


async def test_an_orphan_stays_without_its_owner(world: World) -> None:
    parent = await world.create(CONFIGMAPS, "parent")
    await world.create(CONFIGMAPS, "child", metadata={"ownerReferences": [owner(parent)]})
    await world.client.delete(CONFIGMAPS, "parent", world.namespace, propagation="Orphan")
    await world.until_gone(CONFIGMAPS, "parent", 5)
    assert "ownerReferences" not in (await world.find(CONFIGMAPS, "child"))["metadata"]


async def test_a_custom_object_is_an_owner_as_soon_as_its_kind_is_served(world: World) -> None:
    group = f"{world.namespace}.example.com"
    names = {"plural": "boxes", "singular": "box", "kind": "Box", "listKind": "BoxList"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    spec = {"group": group, "names": names, "scope": "Namespaced", "versions": [version]}
    await world.create(CRDS, f"boxes.{group}", spec=spec)
    boxes = Resource(group, "v1", "boxes", "Box")
    box = await _create_when_served(world, boxes)
    reference = {**owner(box), "apiVersion": f"{group}/v1", "kind": "Box"}
    await world.create(CONFIGMAPS, "in-a-box", metadata={"ownerReferences": [reference]})
    await world.client.delete(boxes, "box", world.namespace)
    await world.until_gone(CONFIGMAPS, "in-a-box", 10)
    await world.client.delete(CRDS, f"boxes.{group}")
    await world.until_gone(CRDS, f"boxes.{group}")


async def _create_when_served(world: World, resource: Resource) -> JSON:
    async with asyncio.timeout(20):
        while True:
            try:
                made: JSON = await world.create(resource, "box")
            except ApiError as error:
                if error.code not in (404, 429, 503):
                    raise
                await asyncio.sleep(0.05)
            else:
                return made


async def test_a_namespace_goes_with_all_that_is_in_it(world: World) -> None:
    container = {"name": "c", "image": "none"}
    await world.create(CONFIGMAPS, "content")
    await world.create(PODS, "unplaced", spec={"containers": [container]})
    await world.create(CLAIMS, "data", spec=claim())
    await world.client.delete(NAMESPACES, world.namespace)
    await world.until_gone(NAMESPACES, world.namespace)


async def test_a_namespace_goes_with_a_running_job(world: World) -> None:
    jobs = asyncio.create_task(run(world.client, volumes_dir=world.folder, which=("jobs",)))
    pod = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "none"}]}}
    await world.create(JOBS, "running", spec={"template": pod, "parallelism": 2, "completions": 2})
    await world.until(JOBS, "running", lambda found: found["status"].get("active") == 2)
    await world.client.delete(NAMESPACES, world.namespace)
    await world.until_gone(NAMESPACES, world.namespace)
    jobs.cancel()
    await asyncio.gather(jobs, return_exceptions=True)


async def test_a_lost_service_account_is_made_anew(world: World) -> None:
    before = await world.find(SERVICE_ACCOUNTS, "default")
    await world.client.delete(SERVICE_ACCOUNTS, "default", world.namespace)
    uid = before["metadata"]["uid"]
    await world.until(SERVICE_ACCOUNTS, "default", lambda found: found and found["metadata"]["uid"] != uid)


async def test_a_finished_job_goes_when_its_time_is_over(world: World) -> None:
    pod = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "none"}]}}
    await world.create(JOBS, "brief", spec={"template": pod, "ttlSecondsAfterFinished": 1, "suspend": True})
    now = "2026-01-01T00:00:00Z"
    verdict = {"status": "True", "lastTransitionTime": now, "lastProbeTime": now}
    conditions = [{**verdict, "type": "FailureTarget"}, {**verdict, "type": "Failed"}]
    body = {"status": {"startTime": now, "conditions": conditions}}
    await world.client.patch(JOBS, "brief", body, world.namespace, subresource="status")
    await world.until_gone(JOBS, "brief", 5)


async def test_a_pod_deleted_before_it_has_a_node_goes(world: World) -> None:
    held = {"finalizers": ["example.com/hold"]}
    await world.create(PODS, "early", metadata=held, spec={"containers": [{"name": "c", "image": "none"}]})
    await world.client.delete(PODS, "early", world.namespace)
    await world.until(PODS, "early", phase("Failed"))
    await world.client.patch(PODS, "early", {"metadata": {"finalizers": None}}, world.namespace)
    await world.until_gone(PODS, "early")


async def test_a_pod_whose_node_is_gone_fails_and_goes(world: World) -> None:
    informers = Informers(world.client)
    lost = LostPods(world.client, informers, quarantine_seconds=0.2)
    informers.start()
    await informers.wait_synced()
    task = asyncio.create_task(lost.run())
    spec = {"nodeName": "gone", "containers": [{"name": "c", "image": "none"}]}
    await world.create(PODS, "lost", metadata={"finalizers": ["example.com/hold"]}, spec=spec)
    pod = await world.until(PODS, "lost", lambda found: found and "deletionTimestamp" in found["metadata"], 5)
    assert pod["status"]["phase"] == "Failed"
    told = [each["message"] for each in pod["status"]["conditions"] if each["type"] == "DisruptionTarget"]
    assert told == ["PodGC: node gone no longer exists"]
    await world.client.patch(PODS, "lost", {"metadata": {"finalizers": None}}, world.namespace)
    await world.until_gone(PODS, "lost", 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await informers.stop()
