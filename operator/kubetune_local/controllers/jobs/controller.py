"""The Job controller: follows Jobs and pods, and does what `decide` says."""

from __future__ import annotations

import asyncio
import copy
import logging
from typing import Any

from kubetune_local import timestamps
from kubetune_local.client import JOBS, PODS, UNREACHABLE, ApiError, KubeClient
from kubetune_local.informer import Informers, listening
from kubetune_local.recorder import EventRecorder
from kubetune_local.workqueue import WorkQueue

from .backoff import Record, remembered
from .decide import POD_BACK_OFF_SECONDS, Decision, decide
from .view import FINALIZER, tracked

JSON = dict[str, Any]
Key = tuple[str, str, str]
"""Namespace, name and UID of a Job."""

log = logging.getLogger(__name__)

WORKERS = 5
OURS = "kubernetes.io/job-controller"
BY_OWNER = "job"
STEPS = 20
"""More looks than any Job takes in a row; the rest waits its turn."""


def owner_key(pod: JSON) -> Key | None:
    """Return the key of the Job that controls a pod."""
    for owner in pod["metadata"].get("ownerReferences") or ():
        if owner.get("controller") and owner["kind"] == "Job" and owner["apiVersion"].startswith("batch/"):
            return pod["metadata"]["namespace"], owner["name"], owner["uid"]
    return None


def _is_orphan(pod: JSON) -> bool:
    """Return whether a pod waits to be counted and nothing controls it."""
    return tracked(pod) and not any(owner.get("controller") for owner in pod["metadata"].get("ownerReferences") or ())


def _index(pod: JSON) -> list[str]:
    key = owner_key(pod)
    return [key[2]] if key else []


class JobController:
    """Runs Jobs."""

    def __init__(
        self, client: KubeClient, informers: Informers, back_off_seconds: float = POD_BACK_OFF_SECONDS
    ) -> None:
        self._client = client
        self._jobs = informers.of(JOBS)
        self._pods = informers.of(PODS)
        self._pods.add_index(BY_OWNER, _index)
        self._recorder = EventRecorder(client, "job-controller")
        self._queue: WorkQueue[Key] = WorkQueue()
        self._orphans: WorkQueue[tuple[str, str]] = WorkQueue()
        self._base = back_off_seconds
        self._records: dict[str, Record] = {}
        self._deleted: dict[str, str] = {}
        """UID of a pod that we deleted -> when: the watch may tell late."""
        self._doubtful: set[str] = set()
        """UIDs of Jobs of which a write may have passed without an answer."""

    async def run(self) -> None:
        """Work for ever."""
        try:
            with listening((self._jobs, self._on_job), (self._pods, self._on_pod)):
                workers = [self._queue.work(self._sync, "job") for _ in range(WORKERS)]
                await asyncio.gather(*workers, self._orphans.work(self._sync_orphan, "orphaned pod"))
        finally:
            self._queue.stop()
            self._orphans.stop()
            await self._recorder.stop()

    def _on_job(self, old: JSON | None, new: JSON | None) -> None:
        meta = (new or old or {})["metadata"]
        self._queue.add((meta["namespace"], meta["name"], meta["uid"]))

    def _on_pod(self, old: JSON | None, new: JSON | None) -> None:
        pod = new or old or {}
        if new is None:
            self._deleted.pop(pod["metadata"]["uid"], None)
        if key := owner_key(pod):
            self._queue.add(key)
        elif new is not None and _is_orphan(new):
            self._orphans.add((new["metadata"]["namespace"], new["metadata"]["name"]))

    async def _sync(self, key: Key) -> None:
        namespace, name, uid = key
        if uid in self._doubtful:
            await self._look_again(key)
        for _ in range(STEPS):
            job = self._jobs.get((namespace, name))
            if job is None or job["metadata"]["uid"] != uid:
                await self._release_orphans(key)
                return
            if job["spec"].get("managedBy", OURS) != OURS:
                return
            if not await self._step(key, job):
                return
        self._queue.add(key)

    async def _step(self, key: Key, job: JSON) -> bool:
        """Look once and act; return whether to look again at once."""
        uid, now, pods = key[2], timestamps.now(), self._pods_of(key[2])
        record = self._records.get(uid) or remembered(pods, now)
        decision = decide(job, pods, now, record, self._base)
        if await self._change_pods(job, decision):
            return True
        wrote = await self._write_status(job, decision)
        self._records[uid] = decision.record
        for pod in decision.stop:
            await self._delete(job, pod)
        for pod in decision.release:
            await self._release(pod)
        if decision.again_after is not None:
            self._queue.add_after(key, decision.again_after + 0.01)
        return wrote or bool(decision.stop or decision.release)

    def _pods_of(self, uid: str) -> list[JSON]:
        pods = self._pods.by_index(BY_OWNER, uid)
        return [self._as_deleted(pod) for pod in pods]

    def _as_deleted(self, pod: JSON) -> JSON:
        stamp = self._deleted.get(pod["metadata"]["uid"])
        if stamp is None or "deletionTimestamp" in pod["metadata"]:
            return pod
        return {**pod, "metadata": {**pod["metadata"], "deletionTimestamp": stamp}}

    # Writes.

    async def _change_pods(self, job: JSON, decision: Decision) -> bool:
        for pod in decision.discard:
            await self._release(pod)
            await self._delete(job, pod)
        for pod in decision.create:
            await self._create(job, pod)
        return bool(decision.discard or decision.create)

    async def _create(self, job: JSON, pod: JSON) -> None:
        try:
            made = await self._client.create(PODS, pod, pod["metadata"]["namespace"])
        except UNREACHABLE:
            self._doubtful.add(job["metadata"]["uid"])
            raise
        except ApiError as error:
            if error.code >= 500:
                self._doubtful.add(job["metadata"]["uid"])
            if not (error.code == 403 and "being terminated" in error.message):
                self._recorder.warning(job, "FailedCreate", f"Error creating: {error.message}")
            raise
        self._pods.observe(made)
        self._recorder.normal(job, "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")

    async def _delete(self, job: JSON, pod: JSON) -> None:
        meta = pod["metadata"]
        try:
            left = await self._client.delete(PODS, meta["name"], meta["namespace"], uid=meta["uid"])
        except ApiError as error:
            if not (error.not_found or error.conflict):
                self._recorder.warning(job, "FailedDelete", f"Error deleting: {error.message}")
                raise
        else:
            self._pods.observe(left)
            self._recorder.normal(job, "SuccessfulDelete", f"Deleted pod: {meta['name']}")
        if self._pods.get((meta["namespace"], meta["name"])) is not None:
            self._deleted[meta["uid"]] = timestamps.rfc3339(timestamps.now())

    async def _write_status(self, job: JSON, decision: Decision) -> bool:
        if decision.status == (job.get("status") or {}):
            return False
        body = copy.copy(job)
        body["status"] = decision.status
        written = await self._client.replace(JOBS, body, "status")
        self._jobs.observe(written)
        for event in decision.events:
            tell = self._recorder.normal if event.type == "Normal" else self._recorder.warning
            tell(job, event.reason, event.message)
        return bool(written["metadata"]["resourceVersion"] != job["metadata"]["resourceVersion"])

    async def _release(self, pod: JSON) -> None:
        """Take the finalizer off a pod."""
        meta = pod["metadata"]
        current = self._pods.get((meta["namespace"], meta["name"]))
        if current is None or current["metadata"]["uid"] != meta["uid"] or not tracked(current):
            return
        kept = [each for each in current["metadata"]["finalizers"] if each != FINALIZER]
        version = current["metadata"]["resourceVersion"]
        body = {"metadata": {"uid": meta["uid"], "resourceVersion": version, "finalizers": kept}}
        try:
            left = await self._client.patch(PODS, meta["name"], body, meta["namespace"])
        except ApiError as error:
            if error.not_found:
                return
            raise
        self._pods.observe(left)

    async def _release_orphans(self, key: Key) -> None:
        """The Job is gone: nobody else would take the finalizers off its pods."""
        namespace, name, uid = key
        self._records.pop(uid, None)
        orphans = [pod for pod in self._pods.by_index(BY_OWNER, uid) if tracked(pod)]
        if not orphans:
            return
        try:
            found = await self._client.get(JOBS, name, namespace)
        except ApiError as error:
            if not error.not_found:
                raise
        else:
            if found["metadata"]["uid"] == uid:
                self._jobs.observe(found)
                return
        for pod in orphans:
            await self._release(pod)

    async def _sync_orphan(self, key: tuple[str, str]) -> None:
        """The Job was deleted and its pods were to stay: nobody counts them any more."""
        pod = self._pods.get(key)
        if pod is not None and _is_orphan(pod):
            await self._release(pod)

    async def _look_again(self, key: Key) -> None:
        """Read the pods afresh: a pod may have been made although its answer was lost."""
        namespace, _, uid = key
        selector = f"batch.kubernetes.io/controller-uid={uid}"
        pods, _ = await self._client.list(PODS, namespace, label_selector=selector)
        for pod in pods:
            self._pods.observe(pod)
        self._doubtful.discard(uid)
