"""The life of one pod on this node: volumes, init containers, containers, its end, and its status all along."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubetune_local import timestamps
from kubetune_local.client import PODS, STRATEGIC, UNREACHABLE, ApiError, KubeClient
from kubetune_local.recorder import EventRecorder

from .container import LONGEST_RETRY, Container
from .environment import References
from .settings import KubeletSettings
from .status import Ending, PodView, pod_status
from .volumes import MountFailed, VolumeSource, lay_out

JSON = dict[str, Any]

log = logging.getLogger(__name__)

QUIET_SECONDS = 0.3
"""A pod that starts within this time shows no ContainerCreating: one write less."""
TERMINAL = ("Succeeded", "Failed")


class PodWorker:
    """Runs one pod; use `update()` and `stop()` to tell it what changed, and `run()` once."""

    def __init__(
        self,
        pod: JSON,
        client: KubeClient,
        recorder: EventRecorder,
        settings: KubeletSettings,
        allocatable: Mapping[str, str],
        inherited: Mapping[str, str],
    ) -> None:
        self.pod = pod
        self.client = client
        self.settings = settings
        self.allocatable = allocatable
        self.inherited = inherited
        self.uid: str = pod["metadata"]["uid"]
        self.directory = settings.directory / "pods" / self.uid
        self.stopping = asyncio.Event()
        self.places: dict[str, Path] = {}
        self._recorder = recorder
        self._kill_at = float("inf")
        self._ending: Ending | None = None
        self._final = False
        self._laid_out = False
        self._gone = False
        self._dirty = asyncio.Event()
        self._publishing = asyncio.Lock()
        self._published: JSON = {}
        self._started_at = pod.get("status", {}).get("startTime") or timestamps.rfc3339(timestamps.now())
        self.initial = [Container(spec, self, initial=True) for spec in pod["spec"].get("initContainers") or []]
        self.containers = [Container(spec, self, initial=False) for spec in pod["spec"]["containers"]]

    @property
    def namespace(self) -> str:
        """Namespace of the pod."""
        return str(self.pod["metadata"]["namespace"])

    @property
    def full_name(self) -> str:
        """Name of the pod as kubelets write it."""
        return f"{self.pod['metadata']['name']}_{self.namespace}({self.uid})"

    @property
    def restart_policy(self) -> str:
        """Always, OnFailure or Never."""
        return str(self.pod["spec"].get("restartPolicy") or "Always")

    @property
    def has_initial(self) -> bool:
        """True when there are init containers."""
        return bool(self.pod["spec"].get("initContainers"))

    @property
    def grace_seconds(self) -> float:
        """Time between SIGTERM and SIGKILL that the pod asks for."""
        return float(self.pod["spec"].get("terminationGracePeriodSeconds", 30))

    @property
    def alive_file(self) -> Path:
        """File that the kubelet touches; containers end when it does not for long."""
        return self.settings.directory / "alive"

    def every(self) -> list[Container]:
        """Init containers and containers."""
        return [*self.initial, *self.containers]

    # What others tell the worker.

    def update(self, pod: JSON) -> None:
        """Take in a newer version of the object: a deletion, or an end that someone else decided."""
        self.pod = pod
        meta = pod["metadata"]
        if meta.get("deletionTimestamp"):
            self.stop(float(meta.get("deletionGracePeriodSeconds", self.grace_seconds)))
        elif pod.get("status", {}).get("phase") in TERMINAL and not self._final:
            self.stop(self.grace_seconds)

    def vanish(self) -> None:
        """The object is gone: end its processes, and write no status."""
        self._gone = True
        self.stop(min(self.grace_seconds, float(self.pod["metadata"].get("deletionGracePeriodSeconds", 30))))

    def stop(self, grace: float, ending: Ending | None = None) -> None:
        """Stop the containers: SIGTERM now, SIGKILL after `grace` seconds; a later call may shorten it."""
        self._kill_at = min(self._kill_at, time.monotonic() + grace)
        if self.stopping.is_set():
            return
        self._ending = ending
        self.stopping.set()
        for container in self.every():
            if container.running is not None:
                self.say("Killing", f"Stopping container {container.name}", container)
                container.running.terminate()

    # What containers ask of the worker.

    def say(self, reason: str, message: str, container: Container) -> None:
        """Record an event about a container."""
        self._recorder.normal(self.pod, reason, message, self._field(container))

    def warn(self, reason: str, message: str, container: Container) -> None:
        """Record a warning about a container."""
        self._recorder.warning(self.pod, reason, message, self._field(container))

    def _field(self, container: Container) -> str:
        return f"spec.{'initContainers' if container.initial else 'containers'}{{{container.name}}}"

    def changed(self) -> None:
        """Publish the status soon."""
        self._dirty.set()

    async def pause(self, seconds: float) -> None:
        """Wait, but not longer than until the pod is to stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)

    # The life.

    async def run(self) -> None:
        """Run the pod to its end, publish it, and delete the object when that was asked for."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        publisher = asyncio.create_task(self._publish_changes())
        asides = [publisher, *(asyncio.create_task(each) for each in (self._kill_late(), self._deadline()))]
        quiet = asyncio.get_running_loop().call_later(QUIET_SECONDS, self.changed)
        try:
            await self._live()
        finally:
            quiet.cancel()
            async with self._publishing:  # a write cut off here could reach the server after the last one
                for aside in asides:
                    aside.cancel()
            await asyncio.gather(*asides, return_exceptions=True)
        self._final = True
        self._blame_lost_containers()
        await self.publish()
        await self.delete_if_asked()

    async def _live(self) -> None:
        if not await self._lay_out():
            return
        for container in self.initial:
            if not await container.run():
                return
        await asyncio.gather(*(container.run() for container in self.containers))

    async def _lay_out(self) -> bool:
        """Make the volumes, waiting for what is missing; False when the pod is to stop first."""
        delay = self.settings.retry_seconds
        while not self.stopping.is_set():
            source = VolumeSource(
                self.client, References(self.client, self.namespace), self.allocatable, self.directory / "volumes"
            )
            try:
                self.places = await lay_out(self.pod, source)
            except (MountFailed, ApiError, *UNREACHABLE) as error:
                self._recorder.warning(self.pod, "FailedMount", str(error))
                await self.pause(delay)
                delay = min(LONGEST_RETRY, delay * 2)
                continue
            self._laid_out = True
            return True
        # What runs already (the kubelet came back to a pod that is being deleted) is waited for all the same.
        running = [container.running for container in self.every() if container.running is not None]
        await asyncio.gather(*(attempt.wait() for attempt in running))
        return False

    async def _kill_late(self) -> None:
        await self.stopping.wait()
        while True:
            late = time.monotonic() - self._kill_at
            for container in self.every() if late >= 0 else []:
                if container.running is not None:
                    container.running.kill()
            await asyncio.sleep(min(0.1, max(0.0, -late)) if late < 0 else 1.0)

    async def _deadline(self) -> None:
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        if seconds is None:
            return
        passed = timestamps.seconds_since(self._started_at, timestamps.now())
        await asyncio.sleep(max(0.0, seconds - passed))
        message = "Pod was active on the node longer than the specified deadline"
        self._recorder.normal(self.pod, "DeadlineExceeded", message)
        self.stop(self.grace_seconds, Ending("DeadlineExceeded", message))

    def _blame_lost_containers(self) -> None:
        """Processes that vanished with the kubelet, or with the machine, are no fault of the pod."""
        lost = [each.name for each in self.every() if each.latest and each.latest.exit and each.latest.exit.lost]
        if lost and self._ending is None:
            message = f"The node lost the processes of {', '.join(lost)} while its kubelet was down"
            self._ending = Ending("NodeLost", message, disruption=True)

    # The status.

    def status(self) -> JSON:
        """Return the status as it is now."""
        view = PodView(
            self.pod,
            [container.view() for container in self.containers],
            [container.view() for container in self.initial],
            self._started_at,
            self._laid_out,
            self._final,
            self._ending,
        )
        return pod_status(view, self._published or self.pod.get("status", {}), timestamps.now())

    async def _publish_changes(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            await self.publish()

    async def publish(self) -> None:
        """Write the status when it changed, however long the API server is away."""
        delay = 0.1
        while not self._gone:
            try:
                async with self._publishing:
                    await self._write(self.status())
                return
            except ApiError as error:
                if error.not_found or error.conflict:
                    self._gone = True
                    return
                if error.code < 500 and error.code != 429:
                    log.error("the status of pod %s was refused: %s", self.full_name, error)
                    return
            except UNREACHABLE as error:
                log.debug("status of pod %s: %s; trying again", self.full_name, error)
            await asyncio.sleep(delay)
            delay = min(5.0, delay * 2)

    async def _write(self, status: JSON) -> None:
        if status == self._published:
            return
        body = {"metadata": {"uid": self.uid}, "status": status}
        name = self.pod["metadata"]["name"]
        await self.client.patch(PODS, name, body, self.namespace, subresource="status", content_type=STRATEGIC)
        self._published = status

    async def delete_if_asked(self) -> None:
        """Tell the API server that nothing of a deleted pod runs any more."""
        meta = self.pod["metadata"]
        if not meta.get("deletionTimestamp") or self._gone:
            return
        delay = 0.1
        while True:
            try:
                await self.client.delete(PODS, meta["name"], self.namespace, uid=self.uid, grace=0)
                return
            except ApiError as error:
                if error.code < 500 and error.code != 429:
                    return
            except UNREACHABLE as error:
                log.debug("deletion of pod %s: %s; trying again", self.full_name, error)
            await asyncio.sleep(delay)
            delay = min(5.0, delay * 2)
