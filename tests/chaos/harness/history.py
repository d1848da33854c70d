"""The truth: every revision of every object, as the API server streams it to a watcher that stands beside the proxy.

A watch from the first version on tells all that etcd has ever held of a kind, in order: creations, each change, and
deletions. A watcher that was cut off goes on at its version; one that is told `410` has a gap and fails the scenario.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cluster.harness.under_test import EVAL_RUNS, FINE_TUNE_JOBS
from kubetune_local.client import CLAIMS, CONFIGMAPS, JOBS, LEASES, PODS, UNREACHABLE, ApiError, KubeClient, Resource

JSON = dict[str, Any]
SERVICES = Resource("", "v1", "services", "Service")
WATCHED = (FINE_TUNE_JOBS, EVAL_RUNS, JOBS, PODS, CONFIGMAPS, CLAIMS, SERVICES, LEASES)


@dataclass(frozen=True)
class Revision:
    """One state of an object; the last one of a deleted object has the type DELETED."""

    at: float
    type: str
    kind: str
    obj: JSON

    @property
    def uid(self) -> str:
        """The object's UID."""
        return str(self.obj["metadata"]["uid"])

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.obj["metadata"]["name"])

    @property
    def version(self) -> int:
        """The resourceVersion."""
        return int(self.obj["metadata"]["resourceVersion"])


class History:
    """Records the revisions of a namespace, or of all, from when it is entered."""

    def __init__(self, client: KubeClient, namespace: str | None = None) -> None:
        self._client = client
        self._namespace = namespace
        self._tasks: list[asyncio.Task[None]] = []
        self.revisions: list[Revision] = []
        self.gaps: list[str] = []
        """Where revisions were missed; nothing can be proven then."""

    async def __aenter__(self) -> History:
        for resource in WATCHED:
            items, version = await self._client.list(resource, self._namespace)
            for item in items:
                self._note("ADDED", resource, item)
            self._tasks.append(asyncio.create_task(self._follow(resource, version)))
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _note(self, event: str, resource: Resource, obj: JSON) -> None:
        self.revisions.append(Revision(time.monotonic(), event, resource.kind, obj))

    async def _follow(self, resource: Resource, version: str) -> None:
        while True:
            try:
                async for event, obj in self._client.watch(resource, self._namespace, resource_version=version):
                    version = obj["metadata"]["resourceVersion"]
                    if event != "BOOKMARK":
                        self._note(event, resource, obj)
            except ApiError as error:
                if error.gone:
                    self.gaps.append(f"{resource.plural} after {version}")
                    return
                await asyncio.sleep(0.2)
            except UNREACHABLE:
                await asyncio.sleep(0.2)

    async def caught_up(self, seconds: float = 10.0) -> None:
        """Wait until everything that the API server has now was seen here."""
        for resource in WATCHED:
            items, _ = await self._client.list(resource, self._namespace)
            wanted = {(item["metadata"]["uid"], item["metadata"]["resourceVersion"]) for item in items}
            async with asyncio.timeout(seconds):
                while wanted - {(each.uid, str(each.version)) for each in self.of(resource.kind)}:
                    current, _ = await self._client.list(resource, self._namespace)
                    wanted = {(item["metadata"]["uid"], item["metadata"]["resourceVersion"]) for item in current}
                    await asyncio.sleep(0.1)
        assert not self.gaps, f"the history has gaps: {self.gaps}"

    # Reading.

    def of(self, *kinds: str) -> Iterator[Revision]:
        """Yield the revisions of some kinds, in order."""
        return (revision for revision in self.revisions if revision.kind in kinds)

    def created(self, *kinds: str) -> list[Revision]:
        """Return the first revision of each object."""
        return list(_first(revision for revision in self.of(*kinds) if revision.type != "DELETED"))

    def deleted(self, *kinds: str) -> list[Revision]:
        """Return the last revision of each object that is gone."""
        return [revision for revision in self.of(*kinds) if revision.type == "DELETED"]

    def lives(self, *kinds: str) -> dict[str, list[Revision]]:
        """Return the revisions of each object by its UID."""
        found: dict[str, list[Revision]] = {}
        for revision in self.of(*kinds):
            found.setdefault(revision.uid, []).append(revision)
        return found

    def latest(self, kind: str, name: str) -> JSON | None:
        """Return an object as it is now, as far as was seen; None when it is gone."""
        last = next((each for each in reversed(self.revisions) if each.kind == kind and each.name == name), None)
        return last.obj if last is not None and last.type != "DELETED" else None


def _first(revisions: Iterator[Revision]) -> Iterator[Revision]:
    seen: set[str] = set()
    for revision in revisions:
        if revision.uid not in seen:
            seen.add(revision.uid)
            yield revision
