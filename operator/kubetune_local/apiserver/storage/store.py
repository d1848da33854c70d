"""The store: one counter of versions, the present objects, and a bounded history for watches.

Everything is synchronous and runs on the event loop's thread, so that a read followed by a write is atomic.
Stored objects are shared with readers and must never be changed in place.
"""

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from kubetune_local.apiserver.storage.backend import Backend, MemoryBackend

Obj = dict[str, Any]
Collection = tuple[str, str]
"""(group, plural): what one storage collection is called, whatever the served version."""

EventType = Literal["ADDED", "MODIFIED", "DELETED"]
DEFAULT_HISTORY = 4096
_BACKLOG = 20_000


def encode(obj: Any) -> bytes:
    """Compact JSON."""
    return json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """An object as stored, with its encoded form."""

    obj: Obj
    raw: bytes
    version: int

    @property
    def namespace(self) -> str:
        """Namespace, or the empty string."""
        return str(self.obj["metadata"].get("namespace", ""))

    @property
    def name(self) -> str:
        """Name of the object."""
        return str(self.obj["metadata"]["name"])

    def copy(self) -> Obj:
        """Return a deep copy that may be changed."""
        copied: Obj = json.loads(self.raw)
        return copied


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """One change: `current` after it (the last state for DELETED), `previous` before it."""

    type: EventType
    current: Stored
    previous: Stored | None


class HistoryGone(Exception):
    """The history no longer reaches back to the version asked for; `oldest` is the earliest that would do."""

    def __init__(self, oldest: int) -> None:
        super().__init__(oldest)
        self.oldest = oldest


class Subscription:
    """A queue of the changes of one collection. Iterate with `take()`; `closed` tells that no more will come."""

    def __init__(self, backlog: Iterable[Event]) -> None:
        self._events = deque(backlog)
        self._signal = asyncio.Event()
        self.closed = False
        if self._events:
            self._signal.set()

    def push(self, event: Event) -> None:
        """Add a change; a reader that has fallen hopelessly behind is closed instead, and must list again."""
        if len(self._events) >= _BACKLOG:
            self.close()
        if not self.closed:
            self._events.append(event)
            self._signal.set()

    def close(self) -> None:
        """End the subscription; what is queued may still be taken."""
        self.closed = True
        self._signal.set()

    async def take(self) -> list[Event]:
        """Wait for changes and return all that are queued; an empty list means closed."""
        await self._signal.wait()
        events = list(self._events)
        self._events.clear()
        if not self.closed:
            self._signal.clear()
        return events


class Store:
    """Objects by collection and (namespace, name)."""

    def __init__(self, backend: Backend | None = None, history: int = DEFAULT_HISTORY) -> None:
        self._backend: Backend = backend or MemoryBackend()
        self._objects: dict[Collection, dict[tuple[str, str], Stored]] = defaultdict(dict)
        self._history: dict[Collection, deque[Event]] = defaultdict(deque)
        self._limit = max(1, history)
        self._subscriptions: dict[Collection, set[Subscription]] = defaultdict(set)
        for (group, plural, namespace, name), version, body in self._backend.load():
            self._objects[group, plural][namespace, name] = Stored(json.loads(body), body, version)
        self.version = max(1, self._backend.version())
        self._origin = self.version
        self._floor: dict[Collection, int] = {}

    def get(self, collection: Collection, namespace: str, name: str) -> Stored | None:
        """Return the present object, or None."""
        return self._objects[collection].get((namespace, name))

    def list(self, collection: Collection, namespace: str = "") -> list[Stored]:
        """Return the present objects of a namespace, or of all, in the order of namespace and name."""
        objects = self._objects[collection]
        keys = sorted(objects) if not namespace else sorted(key for key in objects if key[0] == namespace)
        return [objects[key] for key in keys]

    def oldest(self, collection: Collection) -> int:
        """Return the earliest version from which the collection can still be watched."""
        return self._floor.get(collection, self._origin)

    def changed(self, collection: Collection) -> int:
        """Return the earliest version from which on the collection is known to be as it is now."""
        events = self._history[collection]
        return events[-1].current.version if events else self.oldest(collection)

    def put(self, collection: Collection, obj: Obj) -> Stored:
        """Store a new or changed object under the next version, which is written into its metadata."""
        metadata = obj["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        previous = self._objects[collection].get(key)
        stored = self._stamp(obj)
        self._backend.put((*collection, *key), stored.version, stored.raw)
        self._objects[collection][key] = stored
        self._publish(collection, Event("MODIFIED" if previous else "ADDED", stored, previous))
        return stored

    def remove(self, collection: Collection, stored: Stored) -> Stored:
        """Remove an object; returns its last state under the version of the deletion."""
        key = (stored.namespace, stored.name)
        previous = self._objects[collection][key]
        last = self._stamp(stored.copy())
        self._backend.remove((*collection, *key), last.version)
        del self._objects[collection][key]
        self._publish(collection, Event("DELETED", last, previous))
        return last

    def drop(self, collection: Collection) -> None:
        """Close the watches of a collection that is no longer served."""
        for subscription in list(self._subscriptions[collection]):
            subscription.close()

    def subscribe(self, collection: Collection, since: int) -> Subscription:
        """Follow a collection from after version `since`; raises HistoryGone when that was compacted."""
        oldest = self.oldest(collection)
        if since < oldest:
            raise HistoryGone(oldest)
        backlog = [event for event in self._history[collection] if event.current.version > since]
        subscription = Subscription(backlog)
        self._subscriptions[collection].add(subscription)
        return subscription

    def unsubscribe(self, collection: Collection, subscription: Subscription) -> None:
        """Stop following."""
        self._subscriptions[collection].discard(subscription)

    def compact(self, keep: int = 0) -> None:
        """Forget the history but for the last `keep` changes of each collection; older watches get 410 Gone."""
        for collection, events in self._history.items():
            while len(events) > keep:
                self._floor[collection] = events.popleft().current.version
            if not keep:
                self._floor[collection] = self.version

    def close(self) -> None:
        """End all subscriptions and close the backend."""
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.close()
        self._backend.close()

    def _stamp(self, obj: Obj) -> Stored:
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        return Stored(obj, encode(obj), self.version)

    def _publish(self, collection: Collection, event: Event) -> None:
        events = self._history[collection]
        events.append(event)
        if len(events) > self._limit:
            self._floor[collection] = events.popleft().current.version
        for subscription in self._subscriptions[collection]:
            subscription.push(event)
