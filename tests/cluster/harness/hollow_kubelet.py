"""Nodes without machines: pods are told to run and to end, and nothing is run. Hundreds of jobs cost next to nothing.

Like KWOK it is a client of the API server. A pod that the scheduler binds to one of its nodes becomes Running, and
after a while ends with an exit code and the termination message that a trainer would leave. A pod that is deleted ends
with exit code 75 (checkpointed), as a trainer does on SIGTERM. Logs cannot be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kubetune_api import names
from kubetune_local import timestamps
from kubetune_local.client import LEASES, NODES, PODS, STRATEGIC, UNREACHABLE, ApiError, KubeClient

JSON = dict[str, Any]
_LEASES = "kube-node-lease"
_HEARTBEAT_SECONDS = 10.0
_TRIES = 8


@dataclass(frozen=True)
class Life:
    """What becomes of a pod."""

    starting: float = 0.0
    """Seconds until it runs."""
    running: float = 0.1
    """Seconds that it runs; `forever` for one that only ends when it is deleted."""
    exit_code: int = 0
    message: str | None = None
    """Termination message; that of a trainer that ends with `exit_code` when None."""
    reason: str | None = None
    """Reason of the container's end, such as OOMKilled."""


forever = float("inf")
Script = Callable[[JSON], Life]
"""Pod -> what becomes of it."""


def final_message(stage: str, code: int = 0, reason: str = "Completed") -> str:
    """Return the termination message that a trainer leaves at the end of a stage."""
    line: JSON = {
        "type": "Final",
        "exitCode": code,
        "reason": reason,
        "message": f"the {stage} stage ended with {code}",
    }
    digest = "sha256:" + "a" * 64
    if code == 0 and stage == "prepare":
        line["dataset"] = {"examples": 100, "validation": 5, "tokens": 5000, "digest": digest}
    if code == 0 and stage == "train":
        line["progress"] = {"step": 4, "totalSteps": 4, "percent": 100, "loss": "3.5"}
        line["artifacts"] = [{"type": "Adapter", "uri": "file:///hollow/adapter", "digest": digest, "sizeBytes": 1}]
    if code == 0 and stage == "evaluate":
        line["verdict"] = "tuned is better than base"
    return json.dumps(line)


class HollowKubelet:
    """Some nodes that run nothing; use as an async context manager."""

    def __init__(
        self,
        client: KubeClient,
        script: Script = lambda pod: Life(),
        *,
        nodes: int = 4,
        name: str = "hollow",
        capacity: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self.client = client
        self.script = script
        """May be exchanged while it runs; it counts for pods that start afterwards."""
        self.names = [f"{name}-{index}" for index in range(nodes)]
        self._capacity = {"cpu": "10000", "memory": "10Ti", "pods": "10000", "ephemeral-storage": "100Ti"}
        self._capacity |= dict(capacity or {})
        self._labels = dict(labels or {})
        self._pods: dict[str, asyncio.Task[None]] = {}
        self._ending: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self.silent: set[str] = set()
        """Nodes that are lost: no heartbeat, and nothing happens to their pods."""

    async def __aenter__(self) -> HollowKubelet:
        for name in self.names:
            await self._register(name)
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._beat())]
        return self

    async def __aexit__(self, *exc: object) -> None:
        tasks = [*self._tasks, *self._pods.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for name in self.names:
            with contextlib.suppress(ApiError, *UNREACHABLE):
                await self.client.delete(NODES, name)

    # Nodes.

    async def _register(self, name: str) -> None:
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", **self._labels}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {}}
        try:
            await self.client.create(NODES, node)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        await self._publish(name)
        await self._renew(name)

    async def _publish(self, name: str) -> None:
        stamp = timestamps.rfc3339(timestamps.now())
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "hollow"}
        status = {
            "capacity": self._capacity,
            "allocatable": self._capacity,
            "conditions": [{**ready, "lastHeartbeatTime": stamp, "lastTransitionTime": stamp}],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": name}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 9}},
        }
        await self.client.patch(NODES, name, {"status": status}, subresource="status", content_type=STRATEGIC)

    async def _renew(self, name: str) -> None:
        spec = {
            "holderIdentity": name,
            "leaseDurationSeconds": 40,
            "renewTime": timestamps.rfc3339_micro(timestamps.now()),
        }
        try:
            await self.client.patch(LEASES, name, {"spec": spec}, _LEASES)
        except ApiError as error:
            if not error.not_found:
                raise
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}
            await self.client.create(LEASES, lease, _LEASES)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            for name in set(self.names) - self.silent:
                with contextlib.suppress(ApiError, *UNREACHABLE):
                    await self._renew(name)
                    node = await self.client.get(NODES, name)
                    conditions = node.get("status", {}).get("conditions", [])
                    if any(each["type"] == "Ready" and each["status"] != "True" for each in conditions):
                        await self._publish(name)

    # Pods.

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(ApiError, *UNREACHABLE):
                items, version = await self.client.list(PODS)
                for pod in items:
                    self._see("ADDED", pod)
                async for event, pod in self.client.watch(PODS, resource_version=version):
                    if event != "BOOKMARK":
                        self._see(event, pod)
            await asyncio.sleep(0.2)

    def _see(self, event: str, pod: JSON) -> None:
        uid = pod["metadata"]["uid"]
        if pod["spec"].get("nodeName") not in self.names:
            return
        if event == "DELETED":
            self._drop(uid)
            return
        ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
        if pod["metadata"].get("deletionTimestamp") and uid not in self._ending:
            self._ending.add(uid)
            self._drop(uid)
            self._pods[uid] = asyncio.create_task(self._end_deleted(pod, ended))
        elif uid not in self._pods and not ended:
            self._pods[uid] = asyncio.create_task(self._live(pod, self.script(pod)))

    async def finish_running(self) -> None:
        """Let every pod that runs now live on as the script says now; one that ran for ever may end so."""
        items, _ = await self.client.list(PODS)
        for pod in items:
            uid = pod["metadata"]["uid"]
            if uid in self._pods and pod["spec"].get("nodeName") in self.names and uid not in self._ending:
                self._drop(uid)
                self._pods[uid] = asyncio.create_task(self._live(pod, self.script(pod)))

    def _drop(self, uid: str) -> None:
        if task := self._pods.pop(uid, None):
            task.cancel()

    async def _live(self, pod: JSON, life: Life) -> None:
        await asyncio.sleep(life.starting)
        await self._reachable(pod)
        if pod.get("status", {}).get("phase") != "Running":
            state = {"running": {"startedAt": timestamps.rfc3339(timestamps.now())}}
            await self._write(pod, "Running", state)
        if life.running == forever:
            return
        await asyncio.sleep(life.running)
        await self._reachable(pod)
        await self._finish(pod, life)

    async def _finish(self, pod: JSON, life: Life) -> None:
        stage = pod["metadata"].get("labels", {}).get(names.LABEL_STAGE, "")
        reason = life.reason or ("Completed" if life.exit_code == 0 else "Error")
        stamp = timestamps.rfc3339(timestamps.now())
        state = {"exitCode": life.exit_code, "reason": reason, "startedAt": stamp, "finishedAt": stamp}
        message = life.message if life.message is not None else _last_words(stage, life.exit_code)
        await self._write(
            pod, "Succeeded" if life.exit_code == 0 else "Failed", {"terminated": {**state, "message": message}}
        )

    async def _end_deleted(self, pod: JSON, ended: bool) -> None:
        await self._reachable(pod)
        if not ended:
            await self._finish(pod, Life(exit_code=75))
        meta = pod["metadata"]
        for attempt in range(_TRIES):
            try:
                await self.client.delete(PODS, meta["name"], meta["namespace"], uid=meta["uid"], grace=0)
                return
            except ApiError as error:
                if error.not_found or error.conflict:
                    return
            except UNREACHABLE:
                pass
            await asyncio.sleep(0.1 * 2**attempt)

    async def _reachable(self, pod: JSON) -> None:
        """Return when the pod's node is not lost."""
        while pod["spec"]["nodeName"] in self.silent:  # noqa: ASYNC110 - a set that tests change at will
            await asyncio.sleep(0.2)

    async def _write(self, pod: JSON, phase: str, state: JSON) -> None:
        """Write a pod's status; one that is gone, or was replaced, is left."""
        meta, stamp = pod["metadata"], timestamps.rfc3339(timestamps.now())
        running = phase == "Running"
        ready = {"status": "True" if running else "False", "lastTransitionTime": stamp}
        container = pod["spec"]["containers"][0]
        shown = {
            "name": container["name"],
            "image": container.get("image", ""),
            "imageID": "",
            "state": state,
            "lastState": {},
            "ready": running,
            "started": running,
            "restartCount": 0,
        }
        status = {
            "phase": phase,
            "startTime": meta.get("creationTimestamp"),
            "conditions": [{"type": each, **ready} for each in ("Initialized", "Ready", "ContainersReady")],
            "containerStatuses": [shown],
        }
        body = {"metadata": {"uid": meta["uid"]}, "status": status}
        for attempt in range(_TRIES):
            try:
                await self.client.patch(
                    PODS, meta["name"], body, meta["namespace"], subresource="status", content_type=STRATEGIC
                )
                return
            except ApiError as error:
                if error.not_found or error.conflict:
                    return
            except UNREACHABLE:
                pass
            await asyncio.sleep(0.1 * 2**attempt)


def _last_words(stage: str, code: int) -> str:
    known = {0: "Completed", 64: "BadSpec", 65: "BadDataset", 66: "ModelUnavailable", 70: "InternalError"}
    known |= {75: "Checkpointed", 76: "Stalled", 77: "DiskFull", 78: "Diverged"}
    return final_message(stage, code, known[code]) if code in known else ""
