"""A kubelet without containers: it takes every pod, says that it runs, and ends it when told; it serves short logs."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import web

from kubetune_api import names
from kubetune_local import timestamps
from kubetune_local.client import NODES, PODS, STRATEGIC, UNREACHABLE, ApiError, KubeClient
from kubetune_local.launch.pki import Pki

JSON = dict[str, Any]
NODE = "hollow"
CONTAINER = "trainer"
_DIGEST = "sha256:" + "a" * 64
_PROGRESS = {"step": 4, "totalSteps": 10, "percent": 40, "loss": "2.5", "tokensPerSecond": 1000}


class HollowKubelet:
    """One node for any number of pods."""

    def __init__(self, client: KubeClient, pki: Pki, seconds: Callable[[JSON], float | None]) -> None:
        self._client = client
        self._pki = pki
        self._seconds = seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: set[str] = set()
        self._runner: web.AppRunner | None = None
        self.owners: dict[str, str] = {}
        """Name of each pod that was told to run -> the object that it works for."""
        self._finals: dict[str, str] = {}
        self.log_reads = 0

    async def start(self) -> None:
        """Serve logs, make the node, take pods."""
        port = await self._serve()
        await self._client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": NODE}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "allocatable": {"cpu": "100000", "memory": "1Pi", "pods": "100000"},
            "capacity": {"cpu": "100000", "memory": "1Pi", "pods": "100000"},
            "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": _now(), "reason": "Hollow"}],
        }
        await self._client.patch(NODES, NODE, {"status": status}, subresource="status")
        self._spawn(self._watch())

    async def stop(self) -> None:
        """End at once."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self) -> None:
        while True:
            try:
                items, version = await self._client.list(PODS)
                for pod in items:
                    self._take(pod)
                async for kind, pod in self._client.watch(PODS, resource_version=version):
                    if kind in ("ADDED", "MODIFIED"):
                        self._take(pod)
            except (ApiError, *UNREACHABLE):
                await asyncio.sleep(0.5)

    def _take(self, pod: JSON) -> None:
        meta, uid = pod["metadata"], pod["metadata"]["uid"]
        if meta.get("deletionTimestamp"):
            self._spawn(self._bury(meta["name"], meta["namespace"]))
        elif uid not in self._seen:
            self._seen.add(uid)
            self._spawn(self._live(pod))

    async def _bury(self, name: str, namespace: str) -> None:
        try:
            await self._client.delete(PODS, name, namespace, grace=0)
        except ApiError as error:
            if not error.not_found:
                raise

    async def _live(self, pod: JSON) -> None:
        meta = pod["metadata"]
        name, namespace = meta["name"], meta["namespace"]
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"name": NODE}}
        if not pod["spec"].get("nodeName"):
            await self._client.create(PODS, binding, namespace, "binding", name)
        self.owners[name] = meta["labels"].get(names.LABEL_NAME, "")
        started = _now()
        await self._say(pod, "Running", {"running": {"startedAt": started}})
        seconds = self._seconds(pod)
        if seconds is None:
            return
        await asyncio.sleep(seconds)
        final = _final(meta["labels"].get(names.LABEL_STAGE, ""))
        self._finals[name] = json.dumps(final)
        report = json.dumps({key: value for key, value in final.items() if key != "results"})
        ended = {"exitCode": 0, "reason": "Completed", "message": report, "startedAt": started, "finishedAt": _now()}
        await self._say(pod, "Succeeded", {"terminated": ended})

    async def _say(self, pod: JSON, phase: str, state: JSON) -> None:
        ready = str(phase == "Running")
        container = {
            "name": CONTAINER, "state": state, "ready": phase == "Running", "started": phase == "Running",
            "restartCount": 0, "image": "trainer", "imageID": "trainer@sha256:0",
        }  # fmt: skip
        conditions = [
            {"type": kind, "status": status, "lastTransitionTime": _now()}
            for kind, status in (("PodScheduled", "True"), ("Initialized", "True"), ("Ready", ready))
        ]
        status = {"phase": phase, "startTime": _now(), "conditions": conditions, "containerStatuses": [container]}
        meta = pod["metadata"]
        try:
            await self._client.patch(
                PODS, meta["name"], {"status": status}, meta["namespace"], subresource="status", content_type=STRATEGIC
            )
        except ApiError as error:
            if not error.not_found:
                raise

    async def _serve(self) -> int:
        pair = self._pki.server("kubelet")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pair.certificate, pair.key)
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._log)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        return int(self._runner.addresses[0][1])

    async def _log(self, request: web.Request) -> web.Response:
        self.log_reads += 1
        progress = json.dumps({"type": "Progress", "progress": _PROGRESS})
        return web.Response(text=f"KUBETUNE {self._finals.get(request.match_info['pod'], progress)}\n")


def _now() -> str:
    return timestamps.rfc3339(timestamps.now())


def _final(stage: str) -> JSON:
    """Return the last report of a stage's trainer."""
    line: JSON = {"type": "Final", "exitCode": 0, "reason": "Completed", "message": "done"}
    if stage == "prepare":
        return line | {"dataset": {"examples": 100, "validation": 5, "tokens": 5000, "digest": _DIGEST}}
    if stage == "train":
        artifact = {"type": "Adapter", "uri": "pvc://ws/artifacts/adapter", "digest": _DIGEST, "sizeBytes": 1234}
        return line | {"progress": _PROGRESS | {"step": 10, "percent": 100}, "artifacts": [artifact]}
    values = [{"name": "tuned", "value": "0.60"}, {"name": "base", "value": "0.50"}]
    return line | {
        "results": [{"task": "answers", "metric": "rougeL", "candidates": values, "n": 50}],
        "gates": [{"name": "better", "passed": True, "message": "0.10 over the baseline"}],
        "verdict": "tuned is better than base",
        "report": "pvc://ws/reports/report.html",
    }
