"""A watched, local copy of one resource: list, then watch from there; list again only when the server says 410."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from kubetune_local.client import JSON, UNREACHABLE, ApiError, KubeClient, Resource

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""(namespace, name); the namespace is empty for cluster-scoped objects."""

Handler = Callable[[JSON | None, JSON | None], None]
"""Called as handler(old, new): `old` is None for an addition, `new` is None for a deletion."""

Indexer = Callable[[JSON], Iterable[str]]

_TOMBSTONES = 4096


def key_of(obj: JSON) -> Key:
    """Key of an object in an informer's store."""
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]


def _version(obj: JSON) -> int:
    try:
        return int(obj["metadata"].get("resourceVersion", "0"))
    except ValueError:
        return 0


class Informer:
    """The store is read-your-writes: hand the answers of your writes to `observe()`; older watch events are ignored."""

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> None:
        self.client = client
        self.resource = resource
        self.synced = asyncio.Event()
        self._namespace = namespace
        self._selectors = {"label_selector": label_selector, "field_selector": field_selector}
        self._store: dict[Key, JSON] = {}
        self._handlers: list[Handler] = []
        self._indexers: dict[str, Indexer] = {}
        self._indexes: dict[str, dict[str, set[Key]]] = {}
        self._deleted: OrderedDict[str, None] = OrderedDict()
        self._version: str | None = None

    def __len__(self) -> int:
        return len(self._store)

    def items(self) -> list[JSON]:
        """All objects, as of now."""
        return list(self._store.values())

    def get(self, key: Key) -> JSON | None:
        """The object of this key, or None."""
        return self._store.get(key)

    def add_handler(self, handler: Handler) -> None:
        """Call `handler(old, new)` on each change; objects already here are replayed as additions."""
        self._handlers.append(handler)
        for obj in list(self._store.values()):
            handler(None, obj)

    def remove_handler(self, handler: Handler) -> None:
        """Call this handler no more."""
        self._handlers.remove(handler)

    def add_index(self, name: str, indexer: Indexer) -> None:
        """Keep an index: `indexer(object)` yields the values it is found under."""
        if name in self._indexers:
            return
        self._indexers[name] = indexer
        index: dict[str, set[Key]] = defaultdict(set)
        self._indexes[name] = index
        for key, obj in self._store.items():
            for value in indexer(obj):
                index[value].add(key)

    def by_index(self, name: str, value: str) -> list[JSON]:
        """Objects found under `value` in index `name`."""
        return [self._store[key] for key in sorted(self._indexes[name].get(value, ()))]

    def observe(self, obj: JSON) -> None:
        """Take in the answer of a write of ours before the watch brings it."""
        if obj.get("kind") == "Status" or not obj.get("metadata", {}).get("uid"):
            return
        if obj["metadata"]["uid"] in self._deleted:
            return
        self._apply(obj)

    async def run(self) -> None:
        """Follow the resource for ever; survives outages of the API server with jittered back-off."""
        delay = 0.0
        while True:
            try:
                if self._version is None:
                    await self._relist()
                await self._follow()
                delay = 0.0
            except ApiError as error:
                if error.gone:
                    self._version, delay = None, 0.0
                    continue
                delay = self._next_delay(delay, error)
            except UNREACHABLE as error:
                delay = self._next_delay(delay, error)
            if delay:
                await asyncio.sleep(delay)

    def _next_delay(self, delay: float, error: Exception) -> float:
        level = logging.DEBUG if delay < 2 else logging.WARNING
        log.log(level, "watching %s: %s: %s; trying again", self.resource.plural, type(error).__name__, error)
        return min(10.0, max(0.1, delay * 2)) * random.uniform(0.8, 1.2)

    async def _relist(self) -> None:
        items, version = await self.client.list(
            self.resource,
            self._namespace,
            label_selector=self._selectors["label_selector"],
            field_selector=self._selectors["field_selector"],
        )
        present = {key_of(item) for item in items}
        for key in [key for key in self._store if key not in present]:
            self._remove(key)
        for item in items:
            known = self._store.get(key_of(item))
            if known is not None and known["metadata"]["uid"] != item["metadata"]["uid"]:
                self._remove(key_of(item))
            self._apply(item)
        self._version = version
        self.synced.set()

    async def _follow(self) -> None:
        stream = self.client.watch(
            self.resource,
            self._namespace,
            resource_version=self._version or "",
            timeout_seconds=random.randint(240, 480),
            **self._selectors,
        )
        async for kind, obj in stream:
            self._version = obj["metadata"]["resourceVersion"]
            if kind == "BOOKMARK":
                continue
            obj.setdefault("apiVersion", self.resource.api_version)
            obj.setdefault("kind", self.resource.kind)
            if kind == "DELETED":
                known = self._store.get(key_of(obj))
                if known is not None and known["metadata"]["uid"] == obj["metadata"]["uid"]:
                    self._remove(key_of(obj), obj)
                else:
                    self._bury(obj["metadata"]["uid"])
            else:
                self._apply(obj)

    def _apply(self, obj: JSON) -> None:
        key = key_of(obj)
        old = self._store.get(key)
        if old is not None and old["metadata"]["uid"] == obj["metadata"]["uid"] and _version(obj) <= _version(old):
            return
        self._unindex(key, old)
        self._store[key] = obj
        for name, indexer in self._indexers.items():
            for value in indexer(obj):
                self._indexes[name][value].add(key)
        self._notify(old, obj)

    def _remove(self, key: Key, last: JSON | None = None) -> None:
        old = self._store.pop(key)
        self._unindex(key, old)
        self._bury(old["metadata"]["uid"])
        self._notify(last or old, None)

    def _bury(self, uid: str) -> None:
        self._deleted[uid] = None
        while len(self._deleted) > _TOMBSTONES:
            self._deleted.popitem(last=False)

    def _unindex(self, key: Key, obj: JSON | None) -> None:
        if obj is None:
            return
        for name, indexer in self._indexers.items():
            index = self._indexes[name]
            for value in indexer(obj):
                index[value].discard(key)
                if not index[value]:
                    del index[value]

    def _notify(self, old: JSON | None, new: JSON | None) -> None:
        for handler in list(self._handlers):
            try:
                handler(old, new)
            except Exception:
                log.exception("a handler of %s failed", self.resource.plural)


@contextmanager
def listening(*pairs: tuple[Informer, Handler]) -> Iterator[None]:
    """Call each handler on the changes of its informer, for a while; what is there already comes first."""
    for informer, handler in pairs:
        informer.add_handler(handler)
    try:
        yield
    finally:
        for informer, handler in pairs:
            informer.remove_handler(handler)


class Informers:
    """One informer for each resource, shared by all controllers of a process."""

    def __init__(self, client: KubeClient) -> None:
        self.client = client
        self._informers: dict[Resource, Informer] = {}
        self._tasks: dict[Resource, asyncio.Task[None]] = {}
        self._running = False

    def of(self, resource: Resource) -> Informer:
        """The shared informer of a resource; it begins to watch at once when the set is running."""
        if resource not in self._informers:
            self._informers[resource] = Informer(self.client, resource)
            if self._running:
                self._start(resource)
        return self._informers[resource]

    def known(self) -> list[Resource]:
        """Resources that are being watched."""
        return list(self._informers)

    def drop(self, resource: Resource) -> None:
        """Stop watching a resource, for example because its definition was deleted."""
        self._informers.pop(resource, None)
        if task := self._tasks.pop(resource, None):
            task.cancel()

    def start(self) -> None:
        """Begin to watch everything asked for so far."""
        self._running = True
        for resource in self._informers:
            self._start(resource)

    async def wait_synced(self) -> None:
        """Return when each informer has its first full list."""
        await asyncio.gather(*(informer.synced.wait() for informer in self._informers.values()))

    async def stop(self) -> None:
        """End all watches."""
        self._running = False
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, resource: Resource) -> None:
        if resource not in self._tasks:
            self._tasks[resource] = asyncio.create_task(
                self._informers[resource].run(), name=f"watch-{resource.plural}"
            )
