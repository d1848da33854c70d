"""Events for people: what a component did to an object, or why it could not."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict

from kubetune_local import timestamps
from kubetune_local.client import EVENTS, JSON, UNREACHABLE, ApiError, KubeClient

log = logging.getLogger(__name__)

_REMEMBERED = 2048


class EventRecorder:
    """Writes `v1` Events in the background; repeats of the same event raise its count as the real components do."""

    def __init__(self, client: KubeClient, component: str, host: str = "") -> None:
        self._client = client
        self._source = {"component": component, **({"host": host} if host else {})}
        self._queue: asyncio.Queue[JSON] = asyncio.Queue(maxsize=1000)
        self._seen: OrderedDict[tuple[str, ...], JSON] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    def normal(self, obj: JSON, reason: str, message: str, field: str = "") -> None:
        """Record that something was done."""
        self._record(obj, "Normal", reason, message, field)

    def warning(self, obj: JSON, reason: str, message: str, field: str = "") -> None:
        """Record that something went wrong."""
        self._record(obj, "Warning", reason, message, field)

    async def stop(self) -> None:
        """Write what is queued, for at most two seconds, and end."""
        if self._task is None:
            return
        try:
            async with asyncio.timeout(2.0):
                await self._queue.join()
        except TimeoutError:
            log.debug("events dropped at stop: %d", self._queue.qsize())
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    def _record(self, obj: JSON, kind: str, reason: str, message: str, field: str) -> None:
        meta = obj["metadata"]
        reference = {
            "apiVersion": obj.get("apiVersion", ""),
            "kind": obj.get("kind", ""),
            "name": meta["name"],
            "uid": meta.get("uid", ""),
            "resourceVersion": meta.get("resourceVersion", ""),
        }
        if meta.get("namespace"):
            reference["namespace"] = meta["namespace"]
        if field:
            reference["fieldPath"] = field
        event = {"involvedObject": reference, "type": kind, "reason": reason, "message": message[:1024]}
        if self._task is None:
            self._task = asyncio.create_task(self._drain(), name=f"events-{self._source['component']}")
        if self._queue.full():
            log.debug("event dropped: %s %s", reason, message)
            return
        self._queue.put_nowait(event)

    async def _drain(self) -> None:
        while True:
            event = await self._queue.get()
            try:
                await self._write(event)
            except ApiError as error:
                if error.code not in (403, 404, 422):  # a terminating namespace refuses new events
                    log.warning("event not written: %s", error)
            except UNREACHABLE as error:
                log.debug("event not written: %s", error)
            finally:
                self._queue.task_done()

    async def _write(self, event: JSON) -> None:
        reference = event["involvedObject"]
        key = (reference["uid"], reference.get("fieldPath", ""), event["type"], event["reason"], event["message"])
        stamp = timestamps.rfc3339(timestamps.now())
        namespace = reference.get("namespace", "default")
        if (earlier := self._seen.get(key)) is not None:
            earlier["count"] += 1
            body = {"count": earlier["count"], "lastTimestamp": stamp}
            try:
                await self._client.patch(EVENTS, earlier["name"], body, namespace)
                return
            except ApiError as error:
                if not error.not_found:
                    raise
        name = f"{reference['name']}.{time.time_ns():x}"  # sorts by age, as the real recorder's names do
        full = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            **event,
            "source": self._source,
            "reportingComponent": self._source["component"],
            "reportingInstance": self._source.get("host", ""),
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
        }
        await self._client.create(EVENTS, full, namespace)
        self._seen[key] = {"name": name, "count": 1}
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
