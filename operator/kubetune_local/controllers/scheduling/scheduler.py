"""The scheduler: gives each pod a node, or says why it has none."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from kubetune_local import timestamps
from kubetune_local.client import (
    CLAIMS,
    NODES,
    PODS,
    STORAGE_CLASSES,
    STRATEGIC,
    UNREACHABLE,
    VOLUMES,
    ApiError,
    KubeClient,
)
from kubetune_local.informer import Informers, listening
from kubetune_local.recorder import EventRecorder

from .claims import SELECTED_NODE, Claims, Storage, claims_of
from .filters import why_not
from .message import Reasons, for_all, unschedulable
from .requests import allocatable, used_by

JSON = dict[str, Any]

log = logging.getLogger(__name__)

NAME = "default-scheduler"
ENDED = ("Succeeded", "Failed")
RETRY_SECONDS = 1.0


class Scheduler:
    """Places pods, the most important first."""

    def __init__(self, client: KubeClient, informers: Informers) -> None:
        self._client = client
        self._pods, self._nodes, self._claims = informers.of(PODS), informers.of(NODES), informers.of(CLAIMS)
        self._volumes, self._classes = informers.of(VOLUMES), informers.of(STORAGE_CLASSES)
        self._storage = Storage(
            lambda namespace, name: self._claims.get((namespace, name)),
            lambda name: self._volumes.get(("", name)),
            lambda name: self._classes.get(("", name)),
        )
        self._recorder = EventRecorder(client, NAME)
        self._wake = asyncio.Event()
        self._placed: dict[str, str] = {}
        """UID of a pod that we bound -> node: the watch may tell late."""

    async def run(self) -> None:
        """Place pods for ever."""
        handlers = (
            (self._pods, self._on_pod),
            (self._nodes, self._on_node),
            *((informer, self._on_other) for informer in (self._claims, self._volumes, self._classes)),
        )
        try:
            with listening(*handlers):
                while True:
                    await self._wake.wait()
                    self._wake.clear()
                    if not await self._place_all():
                        asyncio.get_running_loop().call_later(RETRY_SECONDS, self._wake.set)
        finally:
            await self._recorder.stop()

    def _on_pod(self, old: JSON | None, new: JSON | None) -> None:
        if new is None or new["spec"].get("nodeName"):
            self._placed.pop((new or old or {})["metadata"]["uid"], None)
        if old is None or new is None or _room(old) != _room(new) or old["spec"] != new["spec"]:
            self._wake.set()

    def _on_node(self, old: JSON | None, new: JSON | None) -> None:
        if old is None or new is None or _shape(old) != _shape(new):
            self._wake.set()

    def _on_other(self, old: JSON | None, new: JSON | None) -> None:
        self._wake.set()

    # Placing.

    def _waiting(self) -> list[JSON]:
        pods = [pod for pod in self._pods.items() if self._is_waiting(pod)]
        return sorted(pods, key=lambda pod: (-pod["spec"].get("priority", 0), pod["metadata"]["creationTimestamp"]))

    def _is_waiting(self, pod: JSON) -> bool:
        spec, meta = pod["spec"], pod["metadata"]
        if spec.get("nodeName") or meta["uid"] in self._placed or "deletionTimestamp" in meta:
            return False
        if spec.get("schedulingGates") or pod.get("status", {}).get("phase") in ENDED:
            return False
        return bool(spec.get("schedulerName", NAME) == NAME)

    async def _place_all(self) -> bool:
        """Return whether nothing went wrong."""
        well = True
        for pod in self._waiting():
            try:
                await self._place(pod)
            except (ApiError, *UNREACHABLE) as error:
                gone = isinstance(error, ApiError) and (error.not_found or error.conflict)
                log.log(logging.DEBUG if gone else logging.WARNING, "%s: %s", pod["metadata"]["name"], error)
                well = False
        return well

    async def _place(self, pod: JSON) -> None:
        nodes, claims = self._nodes.items(), claims_of(pod, self._storage)
        if claims.problem:
            await self._refuse(pod, for_all(len(nodes), claims.problem))
            return
        verdicts = {node["metadata"]["name"]: self._judge(pod, node, claims) for node in nodes}
        fitting = [node for node in nodes if verdicts[node["metadata"]["name"]] is None]
        if not fitting:
            await self._refuse(pod, unschedulable([each for each in verdicts.values() if each is not None]))
            return
        node = min(fitting, key=self._load)["metadata"]["name"]
        if claims.waiting:
            await self._select(claims.waiting, node)
        else:
            await self._bind(pod, node)

    def _judge(self, pod: JSON, node: JSON, claims: Claims) -> Reasons | None:
        selected = {claim["metadata"].get("annotations", {}).get(SELECTED_NODE) for claim in claims.waiting} - {None}
        if selected and node["metadata"]["name"] not in selected:
            return Reasons(("node(s) didn't match PersistentVolume's node affinity",))
        return why_not(pod, node, self._on(node["metadata"]["name"]), claims.volumes)

    def _on(self, node: str) -> list[JSON]:
        """Return the pods of a node that have not ended."""
        return [
            pod
            for pod in self._pods.items()
            if node == (pod["spec"].get("nodeName") or self._placed.get(pod["metadata"]["uid"]))
            and pod.get("status", {}).get("phase") not in ENDED
        ]

    def _load(self, node: JSON) -> tuple[float, str]:
        """Order of nodes: the one with the smaller part of it in use first."""
        has, used = allocatable(node), used_by(self._on(node["metadata"]["name"]))
        shares = [float(used.get(name, 0) / has[name]) for name in ("cpu", "memory") if has.get(name)]
        return max(shares, default=0.0), node["metadata"]["name"]

    # Writes.

    async def _select(self, claims: list[JSON], node: str) -> None:
        """Tell the provisioner where the volumes are needed; the claims wake us when they are bound."""
        for claim in claims:
            meta = claim["metadata"]
            if meta.get("annotations", {}).get(SELECTED_NODE) != node:
                body = {"metadata": {"uid": meta["uid"], "annotations": {SELECTED_NODE: node}}}
                self._claims.observe(await self._client.patch(CLAIMS, meta["name"], body, meta["namespace"]))

    async def _bind(self, pod: JSON, node: str) -> None:
        meta = pod["metadata"]
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        await self._client.create(PODS, body, meta["namespace"], "binding", meta["name"])
        self._placed[meta["uid"]] = node
        current = self._pods.get((meta["namespace"], meta["name"]))
        if current is None or current["spec"].get("nodeName"):
            self._placed.pop(meta["uid"], None)
        self._recorder.normal(pod, "Scheduled", f"Successfully assigned {meta['namespace']}/{meta['name']} to {node}")

    async def _refuse(self, pod: JSON, message: str) -> None:
        """Say why a pod has no node; once for each reason."""
        meta = pod["metadata"]
        conditions: list[JSON] = pod.get("status", {}).get("conditions") or []
        known: JSON = next((each for each in conditions if each["type"] == "PodScheduled"), {})
        if known.get("status") == "False" and known.get("message") == message:
            return
        stamp = timestamps.rfc3339(timestamps.now())
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        changed = {**condition, "lastProbeTime": None, "lastTransitionTime": known.get("lastTransitionTime", stamp)}
        body = {"metadata": {"uid": meta["uid"]}, "status": {"conditions": [changed]}}
        patch = self._client.patch(
            PODS, meta["name"], body, meta["namespace"], subresource="status", content_type=STRATEGIC
        )
        self._pods.observe(await patch)
        self._recorder.warning(pod, "FailedScheduling", message)


def _room(pod: JSON) -> tuple[bool, bool]:
    """What of a pod's life changes the room on its node, or its own waiting."""
    return pod.get("status", {}).get("phase") in ENDED, "deletionTimestamp" in pod["metadata"]


def _shape(node: JSON) -> tuple[Any, ...]:
    """What of a node matters here; heartbeats do not."""
    meta, spec = node["metadata"], node.get("spec", {})
    return meta.get("labels"), spec.get("taints"), spec.get("unschedulable"), node.get("status", {}).get("allocatable")
