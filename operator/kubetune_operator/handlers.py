"""TRIGGER: every watched event goes into the store and puts a key in the queue. Nothing here raises or decides."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import kopf

from kubetune_api import GROUP, VERSION, names

from .cluster.keys import SUBJECTS, Key, key_of, owner_key
from .cluster.store import Store
from .observe.terminal import is_settled
from .telemetry.metrics import Metrics

OURS = {names.LABEL_MANAGED_BY: names.MANAGED_BY}
"""Labels of the Jobs and Pods that are watched."""


@dataclass(frozen=True)
class Seen:
    """An object that a watch showed."""

    type: str
    kind: str
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class Listing:
    """A watch begins to list a kind; or it has, and those were the UIDs."""

    kind: str
    namespace: str | None
    uids: Iterable[str] | None = None
    version: str = ""


Event = Seen | Listing


class Enqueue(Protocol):
    """Puts a key in the queue."""

    def __call__(self, key: Key, look: bool = ..., first: bool = ...) -> None:
        """Have it worked on: a look will do, and it goes first."""


class Trigger:
    """Turns what is seen of the cluster into keys of the queue."""

    def __init__(
        self,
        enqueue: Enqueue,
        metrics: Metrics,
        settled: Callable[[Key], None] = lambda key: None,
        store: Store | None = None,
    ) -> None:
        self._enqueue = enqueue
        self._metrics = metrics
        self._settled = settled
        self.store = store or Store()
        self._marks: dict[tuple[str, str | None], int] = {}

    def take(self, event: Event) -> None:
        """Something was seen by a watch."""
        if isinstance(event, Listing):
            self._list(event)
        elif event.kind in SUBJECTS:
            (self.lose if event.type == "DELETED" else self.see)(event.manifest)
        else:
            (self.lose_child if event.type == "DELETED" else self.see_child)(event.manifest)

    def see(self, manifest: Mapping[str, Any]) -> None:
        """A FineTuneJob or EvalRun is there: look at it, unless that is known, or nothing is left to do about it."""
        self._see(manifest, look=True, known=not self.store.put(manifest))

    def check(self, manifest: Mapping[str, Any], look: bool) -> None:
        """A FineTuneJob or EvalRun was listed: work on it, known or not, unless nothing is left to do about it."""
        self.store.put(manifest)
        self._see(manifest, look, known=False)

    def lose(self, manifest: Mapping[str, Any]) -> None:
        """A FineTuneJob or EvalRun is gone."""
        self._metrics.forget(key_of(manifest))
        self.store.drop(manifest)
        self._enqueue(key_of(manifest), look=True)
        self._see_owner(manifest)

    def see_child(self, manifest: Mapping[str, Any]) -> None:
        """A child is there: look at its owner, unless it says nothing that was not known."""
        if self.store.put(manifest):
            self._see_owner(manifest)

    def lose_child(self, manifest: Mapping[str, Any]) -> None:
        """A child is gone: look at its owner."""
        self.store.drop(manifest)
        self._see_owner(manifest)

    def begin(self) -> None:
        """The watches start."""
        self.store.begin()

    def _see(self, manifest: Mapping[str, Any], look: bool, known: bool) -> None:
        key, status = key_of(manifest), manifest.get("status") or {}
        self._metrics.see_phase(key, status.get("phase"))
        if is_settled(manifest) and not self.store.unstopped(manifest["metadata"].get("uid", "")):
            self._settled(key)
        elif not known:
            self._enqueue(key, look=look, first=not status.get("runs"))
        self._see_owner(manifest)

    def _see_owner(self, manifest: Mapping[str, Any]) -> None:
        if (owner := owner_key(manifest)) is not None:
            self._enqueue(owner, look=True)

    def _list(self, listing: Listing) -> None:
        """A watch begins to list, or has: what it lacks is gone."""
        what = (listing.kind, listing.namespace)
        if listing.uids is None:
            self._marks[what] = self.store.list_begins(*what)
            return
        version = int(listing.version) if listing.version.isdigit() else 0
        for key in self.store.listed(*what, listing.uids, self._marks.pop(what, 0), version):
            self._enqueue(key)


Login = Callable[[], Awaitable[kopf.AiohttpSession]]
Post = Callable[[Callable[[Any], None], Any], None]
"""Calls a function with an argument in the thread of the queue."""


def register(registry: kopf.OperatorRegistry, login: Login) -> None:
    """Watch both kinds, and the Jobs and Pods made for them. What is seen is taken from the streams, before Kopf."""

    async def on_event(**_: Any) -> None:
        pass

    async def log_in(**_: Any) -> kopf.AiohttpSession:
        return await login()

    for plural in ("finetunejobs", "evalruns"):
        kopf.on.event(GROUP, VERSION, plural, registry=registry)(on_event)
    kopf.on.event("batch", "v1", "jobs", labels=OURS, registry=registry)(on_event)
    kopf.on.event("", "v1", "pods", labels=OURS, registry=registry)(on_event)
    kopf.on.login(registry=registry)(log_in)
