"""Watch: the changes of a collection, seen through a selection."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from kubetune_local.apiserver.cluster import Cluster, Request
from kubetune_local.apiserver.errors import FieldError, StatusError, expired, forbidden_value, invalid
from kubetune_local.apiserver.storage.store import Event, HistoryGone, Stored, Subscription
from kubetune_local.apiserver.verbs.read import parse_version
from kubetune_local.apiserver.verbs.selection import Selection, selection_of

Obj = dict[str, Any]
BOOKMARK_SECONDS = 30.0
DEFAULT_SECONDS = 1800.0
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


@dataclass(frozen=True)
class Change:
    """One event of a watch: `stored` of ADDED, MODIFIED and DELETED, `obj` of BOOKMARK and ERROR."""

    type: str
    stored: Stored | None = None
    obj: Obj | None = None


def _initial_errors(request: Request) -> list[FieldError]:
    """Check `sendInitialEvents` and `resourceVersionMatch`, which go together."""
    match = request.query.get("resourceVersionMatch", "")
    if "sendInitialEvents" not in request.query:
        if match:
            detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            return [forbidden_value("resourceVersionMatch", detail)]
        return []
    if match != "NotOlderThan":
        detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        return [forbidden_value("resourceVersionMatch", detail)]
    return []


class Watch:
    """One watch. Making it checks the request and fixes where it begins; `changes` may then be iterated once."""

    def __init__(self, cluster: Cluster, request: Request) -> None:
        errors = _initial_errors(request)
        if errors:
            raise invalid("ListOptions", "meta.k8s.io", "", errors)
        self._store = cluster.store
        self._request = request
        self._selection: Selection = selection_of(request)
        self._bookmarks = request.flag("allowWatchBookmarks")
        asked = request.query.get("timeoutSeconds", "")
        self._seconds = float(asked) if asked.isdigit() and int(asked) else DEFAULT_SECONDS
        self._since = parse_version(request.query.get("resourceVersion", ""))
        self._initial: list[Stored] = []
        self._gone: StatusError | None = None
        self._subscription: Subscription | None = None
        self._position = self._since
        self._begin()

    def _begin(self) -> None:
        listing = self._sends_initial_events() or ("sendInitialEvents" not in self._request.query and not self._since)
        collection = self._request.resource.collection
        if listing:
            self._initial = [
                item for item in self._store.list(collection, self._request.namespace) if self._selection.matches(item)
            ]
        if listing or not self._since:
            self._position = self._store.version
        try:
            self._subscription = self._store.subscribe(collection, self._position)
        except HistoryGone as gone:
            self._gone = expired(f"too old resource version: {self._since} ({gone.oldest})")

    def _sends_initial_events(self) -> bool:
        return self._request.flag("sendInitialEvents")

    async def changes(self) -> AsyncIterator[list[Change]]:
        """Yield changes in batches until the time is over, the kind is gone, or the client has fallen behind."""
        if self._gone is not None:
            yield [Change("ERROR", obj=self._gone.to_status())]
            return
        assert self._subscription is not None
        try:
            yield self._first()
            async for batch in self._follow(self._subscription):
                yield batch
        finally:
            self._store.unsubscribe(self._request.resource.collection, self._subscription)

    def _first(self) -> list[Change]:
        initial = [Change("ADDED", item) for item in self._initial]
        self._initial = []
        if self._sends_initial_events():
            initial.append(self._bookmark({INITIAL_EVENTS_END: "true"}))
        return initial

    async def _follow(self, subscription: Subscription) -> AsyncIterator[list[Change]]:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds
        while (left := end - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(left, BOOKMARK_SECONDS)):
                    events = await subscription.take()
            except TimeoutError:
                if self._bookmarks:
                    self._position = max(self._position, self._store.version)
                    yield [self._bookmark()]
                continue
            if events:
                self._position = events[-1].current.version
                batch = [change for change in map(self._seen, events) if change is not None]
                if batch:
                    yield batch
            elif subscription.closed:
                return

    def _seen(self, event: Event) -> Change | None:
        """Return a change as the selection shows it: what comes into view is added, what leaves it is deleted."""
        is_in = event.type != "DELETED" and self._selection.matches(event.current)
        was_in = event.previous is not None and self._selection.matches(event.previous)
        if is_in:
            return Change("MODIFIED" if was_in else "ADDED", event.current)
        return Change("DELETED", event.current) if was_in else None

    def _bookmark(self, annotations: dict[str, str] | None = None) -> Change:
        resource = self._request.resource
        metadata: Obj = {"resourceVersion": str(self._position), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        return Change("BOOKMARK", obj={"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata})
