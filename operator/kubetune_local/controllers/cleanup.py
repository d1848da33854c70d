"""Cleaning up: finished Jobs whose time is over, and pods that no kubelet will ever end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import datetime, timedelta

from kubetune_local import timestamps
from kubetune_local.client import JOBS, JSON, NODES, PODS, ApiError, KubeClient
from kubetune_local.informer import Informers, Key, key_of, listening
from kubetune_local.workqueue import WorkQueue

ENDED = ("Succeeded", "Failed")


def expiry(job: JSON) -> datetime | None:
    """Return when a finished Job is to be deleted; None for one that stays."""
    seconds = job["spec"].get("ttlSecondsAfterFinished")
    if seconds is None or "deletionTimestamp" in job["metadata"]:
        return None
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return timestamps.parse(condition["lastTransitionTime"]) + timedelta(seconds=seconds)
    return None


class FinishedJobs:
    """Deletes a Job `ttlSecondsAfterFinished` after its end."""

    def __init__(self, client: KubeClient, informers: Informers) -> None:
        self._client = client
        self._jobs = informers.of(JOBS)
        self._queue: WorkQueue[Key] = WorkQueue()

    async def run(self) -> None:
        """Work for ever."""
        try:
            with listening((self._jobs, self._on_job)):
                await self._queue.work(self._sync, "ttl")
        finally:
            self._queue.stop()

    def _on_job(self, old: JSON | None, new: JSON | None) -> None:
        if new is not None and expiry(new) is not None:
            self._queue.add(key_of(new))

    async def _sync(self, key: Key) -> None:
        job = self._jobs.get(key)
        due = expiry(job) if job else None
        if job is None or due is None:
            return
        if (left := (due - timestamps.now()).total_seconds()) > 0:
            self._queue.add_after(key, left + 0.01)
            return
        namespace, name = key
        fresh = await _read(self._client.get(JOBS, name, namespace))
        if fresh is None or fresh["metadata"]["uid"] != job["metadata"]["uid"] or expiry(fresh) != due:
            return  # the next event brings the Job here again
        await _read(self._client.delete(JOBS, name, namespace, uid=fresh["metadata"]["uid"], propagation="Foreground"))


class LostPods:
    """Ends pods of nodes that do not exist, and pods that are deleted before they had a node."""

    def __init__(self, client: KubeClient, informers: Informers, quarantine_seconds: float = 40.0) -> None:
        """Take the shared informers.

        Args:
            client: Who we are at the API server.
            informers: Where pods and nodes are watched.
            quarantine_seconds: How long a node must be missing: a kubelet may be about to register it again.
        """
        self._client = client
        self._pods, self._nodes = informers.of(PODS), informers.of(NODES)
        self._quarantine = quarantine_seconds
        self._missing: dict[str, float] = {}
        """Name of a node -> when it was found missing."""
        self._queue: WorkQueue[Key] = WorkQueue()

    async def run(self) -> None:
        """Work for ever."""
        try:
            with listening((self._pods, self._on_pod), (self._nodes, self._on_node)):
                await self._queue.work(self._sync, "pod")
        finally:
            self._queue.stop()

    def _on_pod(self, old: JSON | None, new: JSON | None) -> None:
        if new is not None and (new["spec"].get("nodeName") or "deletionTimestamp" in new["metadata"]):
            self._queue.add(key_of(new))

    def _on_node(self, old: JSON | None, new: JSON | None) -> None:
        if new is not None:
            self._missing.pop(new["metadata"]["name"], None)
            return
        for pod in self._pods.items():
            if old is not None and pod["spec"].get("nodeName") == old["metadata"]["name"]:
                self._queue.add(key_of(pod))

    async def _sync(self, key: Key) -> None:
        pod = self._pods.get(key)
        if pod is None:
            return
        node = pod["spec"].get("nodeName")
        if not node:
            if "deletionTimestamp" in pod["metadata"]:
                await self._end(pod, "")
            return
        if self._nodes.get(("", node)) is not None:
            return
        now = asyncio.get_running_loop().time()
        left = self._missing.setdefault(node, now) + self._quarantine - now
        if left > 0:
            self._queue.add_after(key, left + 0.01)
        elif await _read(self._client.get(NODES, node)) is None:
            await self._end(pod, node)

    async def _end(self, pod: JSON, node: str) -> None:
        meta = pod["metadata"]
        if (pod.get("status") or {}).get("phase") not in ENDED:
            body = {"metadata": {"uid": meta["uid"]}, "status": _failed(pod, node)}
            await _read(self._client.patch(PODS, meta["name"], body, meta["namespace"], subresource="status"))
        await _read(self._client.delete(PODS, meta["name"], meta["namespace"], uid=meta["uid"], grace=0))


def _failed(pod: JSON, node: str) -> JSON:
    """Return the status that tells the Job of a pod that it will not go on."""
    if not node:
        return {"phase": "Failed"}
    kept = [each for each in pod.get("status", {}).get("conditions") or () if each["type"] != "DisruptionTarget"]
    target = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByPodGC",
        "message": f"PodGC: node {node} no longer exists",
        "lastTransitionTime": timestamps.rfc3339(timestamps.now()),
    }
    return {"phase": "Failed", "conditions": [*kept, target]}


async def _read(call: Awaitable[JSON]) -> JSON | None:
    """Await a call; None when the object is gone, or is another one by now."""
    try:
        return await call
    except ApiError as error:
        if error.not_found or error.conflict:
            return None
        raise
