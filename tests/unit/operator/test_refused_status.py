"""A status that may not be written: told by log and metric, tried again at a growing distance, and nothing is made."""

import asyncio
import logging
from typing import Any

import pytest
from prometheus_client.exposition import generate_latest

from kubetune_operator.cluster.keys import Key
from kubetune_operator.errors import Forbidden, api_error
from kubetune_operator.queue import WorkQueue
from unit.operator.builders import job_manifest
from unit.operator.cluster_in_memory import InMemory
from unit.operator.test_reconcile import KEY, operator, reason


class Guarded(InMemory):
    """A cluster whose statuses may not be written, until somebody mends the Role."""

    forbidden, tries = True, 0

    async def merge(self, *call: Any) -> dict[str, Any]:
        """Refuse the write, or do it."""
        self.tries += 1
        if self.forbidden:
            raise api_error(403, "Forbidden", "User cannot patch finetunejobs/status")
        return await super().merge(*call)


async def test_nothing_is_made_while_the_status_cannot_be_stored() -> None:
    cluster = Guarded(job_manifest())
    reconciler = operator(cluster)
    for _ in range(3):
        with pytest.raises(Forbidden, match="finetunejobs/status"):
            await reconciler.reconcile(KEY)
    assert cluster.writes == [], "a Job whose number is not stored could be made twice"
    cluster.forbidden = False
    await reconciler.reconcile(KEY)
    assert reason(cluster) == "Preparing"
    assert [kind for _, kind, _ in cluster.writes] == ["FineTuneJob", "PersistentVolumeClaim", "Job"]


async def test_log_and_metric_tell_of_it_and_there_is_no_hot_loop(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Guarded(job_manifest())
    reconciler = operator(cluster)

    async def work(key: Key, *_: Any) -> float | None:
        return await reconciler.reconcile(key)

    queue = WorkQueue(work, reconciler.metrics.failed)
    queue.open()
    queue.add(KEY)
    task = asyncio.create_task(queue.run(1))
    with caplog.at_level(logging.WARNING):
        await asyncio.sleep(1)
        assert 1 < cluster.tries < 8
        cluster.forbidden = False
        async with asyncio.timeout(10):
            while not cluster.of("Job"):  # noqa: ASYNC110 - a write sets no event that could be waited for
                await asyncio.sleep(0.02)
    task.cancel()
    assert "User cannot patch finetunejobs/status" in caplog.text
    page = generate_latest(reconciler.metrics.registry).decode()
    assert 'kubetune_reconcile_errors_total{error="Http403",kind="FineTuneJob"}' in page
