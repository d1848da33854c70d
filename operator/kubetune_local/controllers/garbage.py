"""Garbage: what has lost its owners is deleted, and what is deleted in the foreground or as an orphan is let go.

Every kind that can be watched is watched, so that what an owner leaves behind is known at once. The graph is only a
hint: before anything is deleted, its owners are asked for by name and UID at the API server.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from kubetune_local.client import CRDS, EVENTS, JSON, ApiError, KubeClient, Resource
from kubetune_local.informer import Handler, Informers
from kubetune_local.workqueue import WorkQueue

from .garbage_owners import FOREGROUND, ORPHAN, Verdict, judge, without_owner

log = logging.getLogger(__name__)

WORKERS = 5
BY_OWNER = "owner"
IGNORED = {("", EVENTS.plural), ("events.k8s.io", "events"), ("coordination.k8s.io", "leases")}
"""Many, short-lived, and never owners or owned."""
KINDS_RETRY_SECONDS = 0.2
KINDS_RETRIES = 25
LIST_SECONDS = 10.0
"""A definition is served a moment after its object was written."""


@dataclass(frozen=True)
class Item:
    """One object, by its kind, name and UID."""

    resource: Resource
    namespace: str
    name: str
    uid: str


def _owner_uids(obj: JSON) -> list[str]:
    return [owner["uid"] for owner in obj["metadata"].get("ownerReferences") or ()]


class GarbageCollector:
    """Follows owner references across all kinds."""

    def __init__(self, client: KubeClient, informers: Informers) -> None:
        self._client = client
        self._informers = informers
        self._crds = informers.of(CRDS)
        self._queue: WorkQueue[Item] = WorkQueue(longest_delay=10.0)
        self._kinds: dict[Resource, Handler] = {}
        self._discover = asyncio.Event()
        self._puzzles: dict[str, Item] = {}
        """Objects with an owner of an unknown kind, by UID: a new definition may solve them."""

    async def run(self) -> None:
        """Work for ever."""
        self._crds.add_handler(self._on_definition)
        self._discover.set()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow_kinds())
                for _ in range(WORKERS):
                    group.create_task(self._queue.work(self._sync, "garbage"))
        finally:
            self._crds.remove_handler(self._on_definition)
            for resource, handler in self._kinds.items():
                if resource in self._informers.known():
                    self._informers.of(resource).remove_handler(handler)
            self._kinds.clear()
            self._queue.stop()

    # Kinds.

    def _on_definition(self, old: JSON | None, new: JSON | None) -> None:
        if old is None or new is None or old["spec"] != new["spec"] or _served(old) != _served(new):
            self._discover.set()

    async def _follow_kinds(self) -> None:
        while True:
            await self._discover.wait()
            self._discover.clear()
            for _ in range(KINDS_RETRIES):
                if self._discover.is_set() or await self._match_kinds():
                    break
                await asyncio.sleep(KINDS_RETRY_SECONDS)

    async def _match_kinds(self) -> bool:
        """Watch what is served, and no more what is not; return whether all definitions are served."""
        try:
            found = await self._client.discover()
        except (ApiError, OSError) as error:
            log.debug("discovery: %s", error)
            return False
        served = {each for each in found if (each.group, each.plural) not in IGNORED}
        for resource in served - self._kinds.keys():
            handler = self._handler_of(resource)
            self._kinds[resource] = handler
            informer = self._informers.of(resource)
            informer.add_index(BY_OWNER, _owner_uids)
            informer.add_handler(handler)
            self._look_at_puzzles()
        for resource in self._kinds.keys() - served:
            self._informers.of(resource).remove_handler(self._kinds.pop(resource))
            if "." in resource.group and not resource.group.endswith(".k8s.io"):
                self._informers.drop(resource)
        names = {(each.group, each.plural) for each in served}
        return all((crd["spec"]["group"], crd["spec"]["names"]["plural"]) in names for crd in self._crds.items())

    def _look_at_puzzles(self) -> None:
        puzzles = list(self._puzzles.values())
        self._puzzles.clear()
        for item in puzzles:
            self._queue.add(item)

    async def _all_seen(self) -> None:
        """Wait until each kind was listed: what is not known yet may depend on an owner, too."""
        async with asyncio.timeout(LIST_SECONDS):
            for resource in list(self._kinds):
                await self._informers.of(resource).synced.wait()

    def _handler_of(self, resource: Resource) -> Handler:
        def on_object(old: JSON | None, new: JSON | None) -> None:
            if new is not None:
                meta = new["metadata"]
                if meta.get("ownerReferences") or _waits(new):
                    self._queue.add(_item(resource, new))
            if new is None and old is not None:
                self._puzzles.pop(old["metadata"]["uid"], None)
                self._on_gone(old)
            elif old is not None and new is not None and _waits(new) and not _waits(old):
                for dependent in self._dependents(new["metadata"]["uid"]):
                    self._queue.add(dependent)

        return on_object

    def _on_gone(self, gone: JSON) -> None:
        """Look at what it owned, and at its owners, which may wait for it."""
        for dependent in self._dependents(gone["metadata"]["uid"]):
            self._queue.add(dependent)
        for owner in gone["metadata"].get("ownerReferences") or ():
            resource = self._resource_of(owner)
            if resource is not None:
                namespace = gone["metadata"].get("namespace", "") if resource.namespaced else ""
                self._queue.add(Item(resource, namespace, owner["name"], owner["uid"]))

    def _dependents(self, uid: str) -> list[Item]:
        return [
            _item(resource, obj)
            for resource in list(self._kinds)
            for obj in self._informers.of(resource).by_index(BY_OWNER, uid)
        ]

    def _resource_of(self, owner: JSON) -> Resource | None:
        """The kind of an owner, whichever version of it the reference names."""
        group = owner["apiVersion"].rpartition("/")[0]
        return next((each for each in self._kinds if (each.group, each.kind) == (group, owner["kind"])), None)

    # One object.

    async def _sync(self, item: Item) -> None:
        known = self._informers.of(item.resource).get((item.namespace, item.name)) if self._follows(item) else None
        if known is None:
            return
        obj = await self._read(item)
        if obj is None:
            return
        finalizers = obj["metadata"].get("finalizers") or []
        if "deletionTimestamp" in obj["metadata"]:
            await self._all_seen()
            if ORPHAN in finalizers:
                await self._orphan(item, obj)
            elif FOREGROUND in finalizers:
                await self._delete_foreground(item, obj)
            return
        await self._collect(item, obj)

    def _follows(self, item: Item) -> bool:
        return item.resource in self._kinds

    async def _collect(self, item: Item, obj: JSON) -> None:
        """Delete an object none of whose owners lives; take off the references to those that do not."""
        owners = obj["metadata"].get("ownerReferences") or []
        if not owners:
            return
        states = [await self._state(item, owner) for owner in owners]
        verdict = judge(owners, states, has_dependents=bool(self._dependents(item.uid)))
        if verdict.problem and item.uid not in self._puzzles:
            self._puzzles[item.uid] = item
            log.warning("%s %s/%s: %s", item.resource.plural, item.namespace, item.name, verdict.problem)
        if verdict.drop:
            await self._change(item, obj, {"ownerReferences": without_owner(owners, verdict.drop) or None})
        elif verdict.delete:
            await self._delete(item, obj, verdict)

    async def _state(self, item: Item, owner: JSON) -> str:
        """Ask for an owner: `here`, `waiting` (deleted in the foreground), `absent` or `unknown`."""
        resource = self._resource_of(owner)
        if resource is None:
            return "unknown"
        if resource.namespaced and not item.namespace:
            return "unknown"  # an object of the cluster cannot have an owner in a namespace
        namespace = item.namespace if resource.namespaced else ""
        found = await self._read(Item(resource, namespace, owner["name"], owner["uid"]))
        if found is None:
            return "absent"
        waits = "deletionTimestamp" in found["metadata"] and FOREGROUND in (found["metadata"].get("finalizers") or ())
        return "waiting" if waits else "here"

    async def _read(self, item: Item) -> JSON | None:
        """Read an object afresh; None when it is gone, or another one has its name."""
        try:
            found = await self._client.get(item.resource, item.name, item.namespace or None)
        except ApiError as error:
            if error.not_found:
                return None
            raise
        return found if found["metadata"]["uid"] == item.uid else None

    async def _delete(self, item: Item, obj: JSON, verdict: Verdict) -> None:
        finalizers = obj["metadata"].get("finalizers") or []
        policy = "Orphan" if ORPHAN in finalizers else "Foreground" if FOREGROUND in finalizers else verdict.policy
        try:
            await self._client.delete(
                item.resource, item.name, item.namespace or None, uid=item.uid, propagation=policy
            )
        except ApiError as error:
            if not (error.not_found or error.conflict):
                raise

    async def _delete_foreground(self, item: Item, obj: JSON) -> None:
        """Delete the dependents; let the owner go when none is left that blocks it."""
        dependents = self._dependents(item.uid)
        blocking = [each for each in dependents if self._blocks(each, item.uid)]
        if not blocking:
            await self._let_go(item, obj, FOREGROUND)
            return
        for dependent in dependents:
            self._queue.add(dependent)

    def _blocks(self, dependent: Item, uid: str) -> bool:
        obj = self._informers.of(dependent.resource).get((dependent.namespace, dependent.name))
        owners = obj["metadata"].get("ownerReferences") or () if obj else ()
        return any(owner["uid"] == uid and owner.get("blockOwnerDeletion") for owner in owners)

    async def _orphan(self, item: Item, obj: JSON) -> None:
        """Take the references to an owner off its dependents, then let it go."""
        for dependent in self._dependents(item.uid):
            current = await self._read(dependent)
            if current is not None:
                owners = current["metadata"].get("ownerReferences") or []
                await self._change(dependent, current, {"ownerReferences": without_owner(owners, {item.uid}) or None})
        await self._let_go(item, obj, ORPHAN)

    async def _let_go(self, item: Item, obj: JSON, finalizer: str) -> None:
        kept = [each for each in obj["metadata"]["finalizers"] if each != finalizer]
        await self._change(item, obj, {"finalizers": kept or None})

    async def _change(self, item: Item, obj: JSON, metadata: JSON) -> None:
        """Change metadata of the object as it was read. Raises `ApiError` 409 when it was written since."""
        version = obj["metadata"]["resourceVersion"]
        body = {"metadata": {**metadata, "uid": item.uid, "resourceVersion": version}}
        try:
            await self._client.patch(item.resource, item.name, body, item.namespace or None)
        except ApiError as error:
            if not error.not_found:
                raise


def _item(resource: Resource, obj: JSON) -> Item:
    meta = obj["metadata"]
    return Item(resource, meta.get("namespace", ""), meta["name"], meta["uid"])


def _waits(obj: JSON) -> bool:
    """Return whether an object is deleted and waits for the collector."""
    meta = obj["metadata"]
    finalizers = meta.get("finalizers") or ()
    return "deletionTimestamp" in meta and (FOREGROUND in finalizers or ORPHAN in finalizers)


def _served(crd: JSON) -> bool:
    conditions = (crd.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)
