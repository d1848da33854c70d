"""The parts put together: client, leadership, queue, watches, resync and pages, until told to stop."""

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass

from .cluster.client import Client, connect
from .cluster.gate import Gate, always_open
from .cluster.gather import Gatherer
from .cluster.keys import Key
from .cluster.lease import Elector, lease_namespace, own_name
from .cluster.pace import Pace
from .cluster.recorder import Recorder
from .cluster.store import Store
from .handlers import Trigger
from .policy_file import PolicyFile
from .queue import WorkQueue
from .reconcile import Reconciler
from .resync import Resync
from .settings import Settings
from .telemetry.metrics import Metrics
from .telemetry.server import application, serve
from .watching import Watcher

logger = logging.getLogger(__name__)

#: A pass longer than this, or no pass at all while keys wait, means that nothing moves any more.
WEDGED_AFTER = 150.0
#: A watch that is not opened anew for so long, while the API server answers others, hangs.
SILENT_AFTER = 90.0
#: What a pass that is under way at the end has for its last write.
_DRAIN_SECONDS = 1.0
_CARE_SECONDS = 5.0


@dataclass(frozen=True)
class Parts:
    """What runs."""

    client: Client
    gate: Gate
    elector: Elector | None
    queue: WorkQueue
    watcher: Watcher
    resync: Resync
    metrics: Metrics
    policy: PolicyFile
    store: Store


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Run the operator until told to stop; then give the Lease back, after the last write.

    Raises:
        CannotStart: there is no cluster to work in, or the pages cannot be served.
    """
    parts = await _assemble(settings)
    app = application(parts.metrics, lambda: _show(parts), lambda: alive(parts), lambda: ready(parts))
    runner = None
    try:
        if settings.http_bind:
            runner = await serve(app, settings.http_bind)
        logger.info("working in %s", ", ".join(settings.namespaces) or "every namespace")
        await _run_parts(parts, settings.workers, stop)
    finally:
        if runner is not None:
            await runner.cleanup()
        await parts.client.close()


async def _assemble(settings: Settings) -> Parts:
    metrics = Metrics()
    gate = Gate() if settings.leader_election else always_open()
    pace = Pace(settings.writes_per_second, 2 * settings.writes_per_second)
    client = await connect(metrics.called, gate, pace)
    store = Store(settings.namespaces)
    gatherer = Gatherer(client, settings, store)
    reconciler = Reconciler(client, gatherer, Recorder(client), metrics, settings)

    async def timed(key: Key, look: bool) -> float | None:
        if look:
            await store.listing()
        started = time.monotonic()
        after = await reconciler.reconcile(key, look)
        metrics.passed(key, time.monotonic() - started)
        return after

    queue = WorkQueue(timed, metrics.failed)
    trigger = Trigger(queue.add, metrics, queue.drop, store)
    watcher = Watcher(settings, client, trigger, metrics)
    elector = None
    if settings.leader_election:
        queue.close()
        namespace = lease_namespace(settings.lease_namespace)
        elector = Elector(client, gate, settings.lease_name, namespace, own_name(settings.replica_name))
    resync = Resync(client, settings, trigger, metrics)
    return Parts(client, gate, elector, queue, watcher, resync, metrics, gatherer.policy, store)


async def _run_parts(parts: Parts, workers: int, stop: asyncio.Event) -> None:
    """Run until told to stop, or until a part ends, which none does but by a bug."""

    def lead() -> None:
        parts.queue.open()
        parts.resync.soon(look=True)

    async with asyncio.TaskGroup() as group:
        queue = group.create_task(parts.queue.run(workers))
        others = [
            group.create_task(part) for part in (parts.watcher.run(), parts.resync.run(), _care(parts.watcher, parts))
        ]
        election = group.create_task(parts.elector.run(lead, parts.queue.close)) if parts.elector else None
        await stop.wait()
        logger.info("stopping")
        await _end(parts, queue, election)
        for task in others:
            task.cancel()


async def _end(parts: Parts, queue: asyncio.Task[None], election: asyncio.Task[None] | None) -> None:
    """Let what is being written land, write nothing more, and only then let another lead."""
    parts.queue.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            await parts.queue.idle()
    ending = [task for task in (election, queue) if task is not None]
    for task in ending:
        task.cancel()
    await asyncio.wait(ending, timeout=_DRAIN_SECONDS)
    if parts.elector is not None:
        await parts.elector.release()


async def _care(watcher: Watcher, parts: Parts) -> None:
    """Read the cluster when a watch is silent for too long, and start the watches anew."""
    while True:
        await asyncio.sleep(_CARE_SECONDS)
        if silent(watcher, parts.client) is not None:
            logger.warning("a watch hangs: the cluster is read, and the watches start anew")
            parts.resync.soon()
            watcher.restart()
            await asyncio.sleep(SILENT_AFTER / 2)


def silent(watcher: Watcher, client: Client) -> float | None:
    """Return for how long a watch has been silent that should not be; None when all are well, or nothing answers."""
    age = watcher.signs.oldest_seconds()
    return age if age > SILENT_AFTER and client.answered_seconds_ago() < age - SILENT_AFTER / 2 else None


def ready(parts: Parts) -> str | None:
    """Return why the operator does not see the cluster yet; None once it was read and every watch has listed."""
    if parts.resync.problem is not None or parts.store.was_complete:
        return parts.resync.problem
    return "the watches have not listed yet: see the log, and whether the CRDs are there and the Role lets it watch"


def alive(parts: Parts) -> str | None:
    """Return why the process should be restarted; None while the queue moves and the watches run."""
    queue, watcher = parts.queue, parts.watcher
    if queue.stalled_seconds() > WEDGED_AFTER:
        return f"nothing has moved for {queue.stalled_seconds():.0f} s"
    if watcher.down_since is not None and time.monotonic() - watcher.down_since > WEDGED_AFTER:
        return "the watches are down"
    answers = parts.client.answered_seconds_ago() < SILENT_AFTER
    if not parts.store.was_complete and answers and time.monotonic() - watcher.began_at > WEDGED_AFTER:
        return "the watches never began"
    if watcher.signs.stuck_seconds() > WEDGED_AFTER:
        return f"the loop of the watches has not turned for {watcher.signs.stuck_seconds():.0f} s"
    if (age := silent(watcher, parts.client)) is not None and age > WEDGED_AFTER:
        return f"a watch has been silent for {age:.0f} s"
    return None


def _show(parts: Parts) -> None:
    metrics = parts.metrics
    metrics.queue_depth.set(parts.queue.depth())
    metrics.queue_oldest.set(parts.queue.oldest_seconds())
    metrics.lead(parts.gate.remaining() > 0)
    metrics.watched(parts.watcher.signs.ages())
    metrics.policy_valid.set(int(parts.policy.valid))
