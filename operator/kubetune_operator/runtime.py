"""The parts put together: client, queue, watches, resync and pages, until cancelled."""

import asyncio
import logging
import time

from .cluster.client import connect
from .cluster.gather import Gatherer
from .cluster.keys import Key
from .cluster.recorder import Recorder
from .handlers import Trigger
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


async def run(settings: Settings) -> None:
    """Run the operator until cancelled.

    Raises:
        CannotStart: there is no cluster to work in, or the pages cannot be served.
    """
    metrics = Metrics()
    client = await connect(metrics.called)
    reconciler = Reconciler(client, Gatherer(client, settings), Recorder(client), metrics, settings)

    async def timed(key: Key) -> float | None:
        started = time.monotonic()
        after = await reconciler.reconcile(key)
        metrics.passed(key, time.monotonic() - started)
        return after

    queue = WorkQueue(timed, metrics.failed)
    trigger = Trigger(queue.add, metrics)
    watcher = Watcher(settings, trigger, metrics)
    resync = Resync(client, settings, trigger, metrics)
    runner = None
    app = application(metrics, lambda: _show(queue, metrics), lambda: alive(queue, watcher), lambda: resync.problem)
    try:
        if settings.http_bind:
            runner = await serve(app, settings.http_bind)
        logger.info("working in %s", ", ".join(settings.namespaces) or "every namespace")
        async with asyncio.TaskGroup() as group:
            group.create_task(queue.run(settings.workers))
            group.create_task(watcher.run())
            group.create_task(resync.run())
    finally:
        if runner is not None:
            await runner.cleanup()
        await client.close()


def alive(queue: WorkQueue, watcher: Watcher) -> str | None:
    """Return why the process should be restarted; None while the queue moves and the watches run."""
    if queue.stalled_seconds() > WEDGED_AFTER:
        return f"nothing has moved for {queue.stalled_seconds():.0f} s"
    if watcher.down_since is not None and time.monotonic() - watcher.down_since > WEDGED_AFTER:
        return "the watches are down"
    return None


def _show(queue: WorkQueue, metrics: Metrics) -> None:
    metrics.queue_depth.set(queue.depth())
    metrics.queue_oldest.set(queue.oldest_seconds())
