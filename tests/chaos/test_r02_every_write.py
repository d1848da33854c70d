"""R2: SIGKILL just before and just after every API write of a lifecycle: nothing is lost, doubled or run again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chaos.conftest import SLICE, Prepare
from chaos.harness.arena import Arena
from chaos.harness.oracles import counts, differences, end_state
from cluster.harness.manifests import fine_tune_job, tasks
from cluster.harness.under_test import ended

JOB = "job"


def lifecycle() -> dict[str, Any]:
    """Return a job that visits every stage, and one failed attempt: prepare, train twice, evaluate, verdict."""
    return fine_tune_job(JOB, "train-exit-70x1", retries=1, evaluation=tasks())


async def live(arena: Arena) -> tuple[dict[str, Any], dict[str, int]]:
    """Run a lifecycle to its end; return its end state and the counts of its children."""
    await arena.apply(lifecycle())
    await arena.finished("FineTuneJob", JOB, deadline=90)
    (run,) = await arena.list("EvalRun")
    await arena.finished("EvalRun", run["metadata"]["name"])
    await settled(arena)
    await arena.proven()
    return end_state(arena.history, arena.namespace), counts(arena.history, arena.namespace)


async def settled(arena: Arena) -> None:
    """Wait until the Jobs have written their own end too, and the operator that it has seen the evaluation's."""

    async def told() -> bool:
        jobs, objects = await arena.list("Job"), await arena.list("FineTuneJob")
        over = all(any(each["status"] == "True" for each in job["status"].get("conditions", [])) for job in jobs)
        return over and all(ended(obj) and obj["status"].get("verdict") for obj in objects)

    await arena.wait_until(told, 30, "the end is told everywhere")


@pytest.mark.quick
@pytest.mark.bar("R2")
@pytest.mark.timeout(1800)
async def test_r02_sigkill_before_and_after_every_write(
    prepare: Prepare, figure: Callable[[str], None], length: str
) -> None:
    """Bar: end state and create/delete counts equal those of the run without faults."""
    async with prepare() as arena:
        await arena.operator.up()
        reference, made = await live(arena)
        total = len(arena.proxy.writes)
    step = 9 if length == SLICE else 1
    points = [(number, after) for number in range(1, total + 1, step) for after in (False, True)]
    kills = 0
    for number, after in points:
        async with prepare() as arena:
            await arena.operator.up()
            arena.proxy.crash_at(number, after=after, kill=arena.operator.strike)
            async with arena.operator.kept_alive():
                state, found = await live(arena)
            kills += arena.proxy.crashed
            where = f"killed {'after' if after else 'before'} write {number} of {total}"
            journal = "\n".join(str(write) for write in arena.proxy.writes)
            unequal = differences(reference, state) + differences(made, found)
            assert not unequal, f"{where}:\n" + "\n".join(unequal) + "\n" + journal
    assert kills >= len(points) * 3 // 4, f"only {kills} of {len(points)} points were reached"
    figure(f"{kills} kills at {len(points)} points of {total} writes: end states and counts equal")
