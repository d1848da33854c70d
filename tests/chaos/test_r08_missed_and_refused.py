"""R8: a deletion that nobody saw leaves no ghost; a status that could not be written is written later, unasked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from chaos.conftest import FULL, Prepare
from chaos.harness import crowd
from chaos.harness.arena import Arena, hollow
from chaos.harness.faults import Answer
from cluster.harness.manifests import fine_tune_job
from cluster.harness.under_test import ended

#: The longest pause of a key's back-off, and a little.
WRITTEN_SECONDS = 70.0


def phases(arena: Arena) -> float:
    """Return how many jobs the operator's metrics count."""
    return arena.operator.figure("kubetune_runs", kind="FineTuneJob")


@pytest.mark.bar("R8")
@pytest.mark.timeout(300)
async def test_r08_a_missed_delete_leaves_no_ghost(prepare: Prepare, figure: Callable[[str], None]) -> None:
    """Bar: the DELETED event is lost and the watch expires: nothing is made or written for what is gone."""
    async with prepare() as arena, hollow(arena, crowd.life_of):
        await arena.operator.up(KUBETUNE_RESYNC_SECONDS="10")
        made = await crowd.make_jobs(arena, 3, 1)
        await crowd.proven(arena, made, 60)
        await arena.wait_until(lambda: _counts(arena, 3), 10, "three jobs are counted")
        arena.proxy.faults.streams.dropped = lambda resource, kind: kind == "DELETED"
        for name in made:
            await arena.delete("FineTuneJob", name)
        for stream in arena.proxy.streams:
            stream.error(410, "Expired")
        writes, began = len(arena.proxy.writes), time.monotonic()
        await arena.wait_until(lambda: _counts(arena, 0), 30, "no ghost is counted")
        took = time.monotonic() - began
        await asyncio.sleep(5)
        late = [str(write) for write in arena.proxy.writes[writes:]]
        assert late == [], f"written about what is gone: {late}"
        figure(f"ghosts gone after {took:.0f} s with a resync of 10 s, 0 writes about them")


async def _counts(arena: Arena, wanted: int) -> bool:
    return await asyncio.to_thread(phases, arena) == wanted


@pytest.mark.bar("R8")
@pytest.mark.timeout(900)
async def test_r08_a_status_that_is_refused_is_written_later(
    prepare: Prepare, figure: Callable[[str], None], length: str
) -> None:
    """Bar: every status PATCH fails for 5 min; it is written afterwards, without a new event."""
    seconds = 300.0 if length == FULL else 30.0
    async with prepare() as arena, hollow(arena, crowd.life_of):
        await arena.operator.up()
        await arena.create(fine_tune_job("j-1"))
        await arena.wait_until(lambda: arena.list("Pod"), 30, "the first pod")
        rule = arena.proxy.faults.add(Answer(500, "InternalError"), lambda call: call.subresource == "status")
        await asyncio.sleep(seconds)
        last_event = max(revision.at for revision in arena.history.of("Pod", "Job", "FineTuneJob"))
        arena.proxy.faults.clear()
        freed = time.monotonic()
        before = await arena.get("FineTuneJob", "j-1")
        assert not ended(before)

        def told(obj: dict[str, object] | None) -> bool:
            return ended(obj) or len(list(arena.history.created("Job"))) > 1

        await arena.wait_for("FineTuneJob", "j-1", told, WRITTEN_SECONDS)
        took = time.monotonic() - freed
        await crowd.proven(arena, ["j-1"], 60)
        figure(
            f"{rule.happened} status writes refused in {seconds:.0f} s; written {took:.0f} s after, "
            f"{freed - last_event:.0f} s after the last event"
        )
