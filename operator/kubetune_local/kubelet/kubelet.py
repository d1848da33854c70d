"""The kubelet: one worker for each pod that is bound to this node."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kubetune_local.apiserver.schema.quantity import parse_quantity
from kubetune_local.client import PODS, UNREACHABLE, ApiError, KubeClient
from kubetune_local.informer import Informer
from kubetune_local.recorder import EventRecorder

from .attempt import Attempt, attempts_in
from .container import Container
from .environment import inherited
from .memory import process_tree, used_by_descendants
from .node import NodeKeeper
from .pod import TERMINAL, PodWorker
from .server import KubeletServer
from .settings import KubeletSettings, Serving
from .status import Ending

JSON = dict[str, Any]

log = logging.getLogger(__name__)

ALIVE_SECONDS = 5.0
SHUTDOWN = Ending("Terminated", "Pod was terminated in response to imminent node shutdown.", disruption=True)


class Kubelet:
    """Runs the pods of one node as processes. Await `start()`, and `stop()` at the end."""

    def __init__(self, client: KubeClient, settings: KubeletSettings, serving: Serving) -> None:
        self._client = client
        self._settings = settings
        self._recorder = EventRecorder(client, "kubelet", settings.node_name)
        self._pods = Informer(client, PODS, field_selector=f"spec.nodeName={settings.node_name}")
        self._server = KubeletServer(settings.directory, self._find, serving)
        self._node: NodeKeeper | None = None
        self._workers: dict[str, PodWorker] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ended: set[str] = set()
        self._tasks: list[asyncio.Task[Any]] = []
        self._inherited = inherited(os.environ)
        self._going = False

    async def start(self) -> None:
        """Register the node, find the pods of an earlier start again, and begin to follow the API server."""
        self._settings.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._touch()
        self._tasks.append(asyncio.create_task(self._keep_alive(), name="kubelet-alive"))
        port = await self._server.start()
        self._node = NodeKeeper(self._client, self._settings, port)
        await self._node.register()
        self._pods.add_handler(self._on_pod)
        self._tasks.append(asyncio.create_task(self._pods.run(), name="kubelet-pods"))
        await self._pods.synced.wait()
        self._remove_orphans()
        self._tasks.append(asyncio.create_task(self._node.run(), name="kubelet-node"))
        self._tasks.append(asyncio.create_task(self._watch_memory(), name="kubelet-memory"))
        log.info("node %s is ready: %s", self._settings.node_name, self._node.capacity)

    async def stop(self, *, leave_pods: bool = False) -> None:
        """End. Pods are stopped and reported as disrupted by a node shutdown; with `leave_pods` they run on."""
        self._going = True
        if not leave_pods:
            await self._stop_pods()
        for task in [*self._tasks, *self._running.values()]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._running.values(), return_exceptions=True)
        await self._recorder.stop()
        await self._server.stop()

    async def _stop_pods(self) -> None:
        try:
            if self._node is not None:
                async with asyncio.timeout(2.0):
                    await self._node.publish(ready=False)
        except (ApiError, *UNREACHABLE) as error:
            log.warning("the node could not be marked as going down: %s", error)
        for worker in self._workers.values():
            worker.stop(min(worker.grace_seconds, self._settings.shutdown_seconds), SHUTDOWN)
        running = list(self._running.values())
        if running:
            await asyncio.wait(running, timeout=self._settings.shutdown_seconds + 2.0)

    def _find(self, namespace: str, name: str) -> JSON | None:
        return self._pods.get((namespace, name))

    # Pods.

    def _on_pod(self, old: JSON | None, new: JSON | None) -> None:
        if new is None:
            assert old is not None
            self._on_deleted(old)
            return
        uid = new["metadata"]["uid"]
        worker = self._workers.get(uid)
        if worker is not None:
            worker.update(new)
        elif not self._going:
            self._take_on(new)

    def _take_on(self, pod: JSON) -> None:
        """Begin with a pod; one that has ended needs us only for its deletion."""
        meta = pod["metadata"]
        ended = meta["uid"] in self._ended or pod.get("status", {}).get("phase") in TERMINAL
        if ended and (not meta.get("deletionTimestamp") or meta.get("deletionGracePeriodSeconds") == 0):
            return
        worker = PodWorker(pod, self._client, self._recorder, self._settings, self._node_capacity(), self._inherited)
        life = worker.delete_if_asked() if ended else worker.run()
        self._workers[worker.uid] = worker
        task = asyncio.create_task(life, name=f"pod-{worker.full_name}")
        self._running[worker.uid] = task
        task.add_done_callback(lambda done: self._on_done(worker, done))
        if meta.get("deletionTimestamp") and not ended:
            worker.update(pod)

    def _node_capacity(self) -> dict[str, str]:
        return self._node.capacity if self._node is not None else {}

    def _on_done(self, worker: PodWorker, task: asyncio.Task[None]) -> None:
        self._workers.pop(worker.uid, None)
        self._running.pop(worker.uid, None)
        if task.cancelled():
            return
        if error := task.exception():
            log.error("pod %s: %s", worker.full_name, error, exc_info=error)
            return
        self._ended.add(worker.uid)
        known = self._pods.get((worker.namespace, worker.pod["metadata"]["name"]))
        if known is None or known["metadata"]["uid"] != worker.uid:
            self._forget(worker.uid)
        elif known["metadata"].get("deletionTimestamp") and not self._going:
            self._take_on(known)

    def _on_deleted(self, pod: JSON) -> None:
        uid = pod["metadata"]["uid"]
        if worker := self._workers.get(uid):
            worker.vanish()
        else:
            self._forget(uid)

    def _forget(self, uid: str) -> None:
        """Nothing is left of the pod: remove its folder."""
        self._ended.discard(uid)
        shutil.rmtree(self._settings.directory / "pods" / uid, ignore_errors=True)

    def _remove_orphans(self) -> None:
        """Pods deleted while no kubelet ran: their processes are killed and their folders removed."""
        folder = self._settings.directory / "pods"
        wanted = {pod["metadata"]["uid"] for pod in self._pods.items()}
        for place in folder.iterdir() if folder.exists() else []:
            if place.name not in wanted:
                _end_orphans(place)

    # Chores.

    def _touch(self) -> None:
        (self._settings.directory / "alive").touch(mode=0o600)

    async def _keep_alive(self) -> None:
        while True:
            self._touch()
            await asyncio.sleep(ALIVE_SECONDS)

    async def _watch_memory(self) -> None:
        """Kill containers that hold more memory than their limit."""
        while True:
            await asyncio.sleep(self._settings.memory_check_seconds)
            limited = [
                (container, attempt) for container, attempt in self._running_containers() if container.memory_limit
            ]
            if limited:
                await asyncio.to_thread(_kill_greedy, limited)

    def _running_containers(self) -> Iterator[tuple[Container, Attempt]]:
        for worker in self._workers.values():
            for container in worker.every():
                if container.running is not None:
                    yield container, container.running


def _kill_greedy(containers: list[tuple[Container, Attempt]]) -> None:
    tree = process_tree()
    for container, attempt in containers:
        used = used_by_descendants(attempt.pid, tree) if attempt.pid else 0
        if container.memory_limit and used > parse_quantity(container.memory_limit):
            log.info("%s of %s holds %d bytes", container.name, container.pod.full_name, used)
            attempt.kill(oom=True)


def _end_orphans(place: Path) -> None:
    for container in (place / "containers").glob("*"):
        for attempt in attempts_in(container):
            attempt.kill()
    shutil.rmtree(place, ignore_errors=True)
