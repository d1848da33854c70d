"""R7: events are dropped, repeated and out of order: the end is the same, at the latest with the next resync."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chaos.conftest import FULL, Prepare
from chaos.harness import crowd
from chaos.harness.arena import Arena, hollow
from chaos.harness.faults import StreamFaults
from chaos.harness.lifecycle import Outcome
from chaos.harness.oracles import counts, end_state
from cluster.harness.under_test import ended
from kubetune_api import names

SLACK = 5.0


async def crowd_of(arena: Arena, jobs: int, span: float, deadline: float) -> Outcome:
    """Let many jobs live; return what they left behind."""
    made = await crowd.make_jobs(arena, jobs, span)
    await crowd.proven(arena, made, deadline)
    return Outcome(end_state(arena.history, arena.namespace), counts(arena.history, arena.namespace))


def latest_news(arena: Arena) -> float:
    """Return the longest time from the end of a job's last pod to the end of the job."""
    pods: dict[str, float] = {}
    late = 0.0
    for revision in arena.history.revisions:
        if revision.kind == "Pod" and revision.obj.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            pods.setdefault(revision.uid, revision.at)
    last = {
        life[-1].obj["metadata"]["labels"][names.LABEL_OWNER_UID]: pods[uid]
        for uid, life in arena.history.lives("Pod").items()
        if uid in pods
    }
    for uid, life in arena.history.lives("FineTuneJob").items():
        end = next((revision.at for revision in life if ended(revision.obj)), None)
        if end is not None and uid in last:
            late = max(late, end - last[uid])
    return late


@pytest.mark.bar("R7")
@pytest.mark.timeout(1800)
async def test_r07_events_dropped_repeated_reordered(
    prepare: Prepare, figure: Callable[[str], None], length: str
) -> None:
    """Bar: 30 % of events dropped, others five times, in another order: same end state within a resync."""
    jobs, span, resync = (60, 60.0, 60.0) if length == FULL else (20, 10.0, 15.0)
    async with prepare() as arena, hollow(arena, crowd.life_of):
        await arena.operator.up()
        reference = await crowd_of(arena, jobs, span, 180)
    async with prepare(seed=7) as arena, hollow(arena, crowd.life_of):
        arena.proxy.faults.streams = StreamFaults(drop=0.3, duplicate=0.3, copies=5, reorder=0.3)
        await arena.operator.up(KUBETUNE_RESYNC_SECONDS=str(resync))
        outcome = await crowd_of(arena, jobs, span, 4 * resync)
        unequal = reference.differences(outcome)
        assert not unequal, "\n".join(unequal[:20])
        late = latest_news(arena)
        assert late <= resync + SLACK, f"a job was told {late:.0f} s after its last pod; a resync is {resync:.0f} s"
        figure(f"{jobs} jobs: end states equal; at most {late:.1f} s late with a resync of {resync:.0f} s")
