"""The story of one pass over one object: look, decide, store what must be safe, act, store what is true.

Look by what the watches have shown, act on what was read: a look that leads to more than news in the status is not
acted on, everything is read and decided again. Only an object for which nothing was ever made is not read again: that
its first Job is to be made is stored before, on the very version that was seen, and is refused if there is another.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from .cluster.apply import apply
from .cluster.client import Client, Document
from .cluster.gather import Gatherer
from .cluster.keys import Key
from .cluster.publish import publish
from .cluster.recorder import Recorder
from .observe import Observation, Status, notices, observe
from .observe.situation import Actions
from .observe.terminal import condition, is_terminal
from .observe.unreadable import look_again_after, stored_status, unreadable
from .plan import Refusal
from .settings import Settings
from .telemetry.metrics import Metrics

Clock = Callable[[], datetime]
#: News between two phases is told after so long, if it is still true then.
_SETTLES_AFTER = 1.0


@dataclass(frozen=True)
class Reconciler:
    """Brings the cluster and the status of an object together."""

    client: Client
    gatherer: Gatherer
    recorder: Recorder
    metrics: Metrics
    settings: Settings
    clock: Clock = lambda: datetime.now(UTC)

    async def reconcile(self, key: Key, look: bool = False) -> float | None:
        """Bring one object on; return the seconds after which to do so again. A mere look reads nothing if need be.

        Raises:
            OperatorError: try again; nothing is lost, and what was done is not done twice.
        """
        look = look and self.gatherer.may_look(key)
        manifest = await self.gatherer.subject(key, look)
        if manifest is None or manifest["metadata"].get("deletionTimestamp"):
            self.metrics.forget(key)
            return None
        snapshot = await self.gatherer.snapshot(key, manifest, look)
        if look and isinstance(snapshot, Refusal):
            return await self.reconcile(key)
        if isinstance(snapshot, Refusal):
            await self._store(key, manifest, stored_status(manifest), unreadable(manifest, snapshot, self.clock()))
            return look_again_after(snapshot)
        seen, stored, old = observe(snapshot, self.clock()), manifest, snapshot.status
        if look and not (_is_news(old, seen) or (seen.must_be_first and self.gatherer.is_new(manifest))):
            return await self.reconcile(key)
        if look and _is_passing(old, seen.status):
            return _SETTLES_AFTER
        if seen.must_be_first:
            stored, old = await self._store(key, manifest, old, seen.status), seen.status
        failures = await apply(self.client, snapshot, seen.actions, self.settings, self.gatherer.store.put)
        if failures:
            seen = observe(replace(snapshot, failures=failures), self.clock())
        await self._store(key, stored, old, seen.status)
        return seen.requeue_after

    async def _store(self, key: Key, manifest: Document, old: Status, new: Status) -> Document:
        """Write the status; only when it has landed, tell people and count."""
        updated = await publish(self.client, key, manifest, new)
        if updated is None:
            self.metrics.see(key, new)
            return manifest
        stored = {"apiVersion": manifest["apiVersion"], "kind": key.kind, **updated}
        self.gatherer.store.put(stored)
        self.metrics.count(key, old, new)
        await self.recorder.record(key, stored, notices(old, new))
        return stored


def _is_news(old: Status, seen: Observation) -> bool:
    """Return whether all that follows is a status that tells more of what goes on, and of no end of anything."""
    return seen.actions == Actions() and not seen.must_be_first and _ends(old) == _ends(seen.status)


def _ends(status: Status) -> tuple[bool, int, set[int]]:
    ended = {attempt.number for attempt in status.attempts or [] if attempt.ended}
    return is_terminal(status.conditions), status.runs or 0, ended


def _is_passing(old: Status, new: Status) -> bool:
    """Return whether a status tells nothing but how far something is on its way: more of it comes in a moment."""
    return old != new and (old.phase, _runs(old)) == (new.phase, _runs(new))


def _runs(status: Status) -> list[str | None]:
    found = [condition(status.conditions, name) for name in ("Running", "Accepted")]
    return [entry.status if entry else None for entry in found]
