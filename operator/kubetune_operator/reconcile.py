"""The story of one look at one object: read, decide, store what must be safe, act, store what is true."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from .cluster.apply import apply
from .cluster.client import Client, Document
from .cluster.gather import Gatherer
from .cluster.keys import Key
from .cluster.publish import publish
from .cluster.recorder import Recorder
from .observe import Status, notices, observe
from .observe.unreadable import look_again_after, stored_status, unreadable
from .plan import Refusal
from .settings import Settings
from .telemetry.metrics import Metrics

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Reconciler:
    """Brings the cluster and the status of an object together."""

    client: Client
    gatherer: Gatherer
    recorder: Recorder
    metrics: Metrics
    settings: Settings
    clock: Clock = lambda: datetime.now(UTC)

    async def reconcile(self, key: Key) -> float | None:
        """Look at one object; return the seconds after which to look again.

        Raises:
            OperatorError: try again; nothing is lost, and what was done is not done twice.
        """
        manifest = await self.gatherer.subject(key)
        if manifest is None or manifest["metadata"].get("deletionTimestamp"):
            self.metrics.forget(key)
            return None
        snapshot = await self.gatherer.snapshot(key, manifest)
        if isinstance(snapshot, Refusal):
            await self._store(key, manifest, stored_status(manifest), unreadable(manifest, snapshot, self.clock()))
            return look_again_after(snapshot)
        seen, stored, old = observe(snapshot, self.clock()), manifest, snapshot.status
        if seen.must_be_first:
            stored, old = await self._store(key, manifest, old, seen.status), seen.status
        failures = await apply(self.client, snapshot, seen.actions, self.settings)
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
        self.metrics.count(key, old, new)
        await self.recorder.record(key, stored, notices(old, new))
        return stored
