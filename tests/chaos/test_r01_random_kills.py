"""R1: SIGKILL at 100 random points while 200 jobs run: nothing is lost, doubled or run again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import pytest

from chaos.conftest import FULL, Prepare
from chaos.harness.arena import Arena, hollow
from cluster.harness.hollow_kubelet import Life
from cluster.harness.manifests import fine_tune_job
from cluster.harness.under_test import JSON, condition_of
from kubetune_api import names

SEED = 1
CONVERGED_SECONDS = 60.0


def life_of(pod: JSON) -> Life:
    """Every fifth job fails for good, every seventh fails once and is tried again; the others succeed."""
    labels = pod["metadata"]["labels"]
    number, stage = int(labels[names.LABEL_NAME].partition("-")[2]), labels[names.LABEL_STAGE]
    if stage == "train" and number % 5 == 0:
        return Life(0.2, 1.0, exit_code=78)
    return Life(0.2, 0.5 + number % 10 * 0.2)


def ends_well(number: int) -> bool:
    """Tell how a job must end."""
    return number % 5 != 0


async def kill_at_random(arena: Arena, kills: int, span: float) -> None:
    """SIGKILL the operator `kills` times within a span, at moments drawn by seed; each time it is started again."""
    draw, began = random.Random(SEED), time.monotonic()
    for moment in sorted(draw.uniform(0, span) for _ in range(kills)):
        await asyncio.sleep(max(0.0, began + moment - time.monotonic()))
        await arena.wait_until(lambda: asyncio.sleep(0, arena.operator.running()), 10, "the operator runs again")
        arena.operator.strike()


@pytest.mark.bar("R1")
@pytest.mark.timeout(1800)
async def test_r01_sigkill_at_random_points(prepare: Prepare, figure: Callable[[str], None], length: str) -> None:
    """Bar: 100 kills, 200 jobs: 0 duplicate Jobs, 0 lost or wrong ends, 0 runs again, converged <= 60 s."""
    jobs, kills, span = (200, 100, 150.0) if length == FULL else (40, 20, 30.0)
    async with prepare(seed=SEED) as arena, hollow(arena, life_of):
        await arena.operator.up()
        wanted = {f"j-{number}": ends_well(number) for number in range(1, jobs + 1)}
        async with arena.operator.kept_alive():
            killing = asyncio.create_task(kill_at_random(arena, kills, span))
            for name in wanted:
                await arena.create(fine_tune_job(name))
                await asyncio.sleep(span * 0.8 / jobs)
            await killing
            last_kill = time.monotonic()
            done = await arena.all_finished(wanted, CONVERGED_SECONDS)
            converged = time.monotonic() - last_kill
        await arena.proven()
        wrong = [obj for obj in done if (condition_of(obj, "Succeeded")["status"] == "True") != wanted[_name(obj)]]
        assert not wrong, [(_name(obj), condition_of(obj, "Failed")) for obj in wrong[:5]]
        made = len(arena.history.created("Job"))
        assert made == 2 * jobs, f"{made} Jobs for {jobs} jobs of two stages"
        figure(
            f"{arena.operator.starts - 1} kills in {jobs} jobs: 0 duplicates, 0 wrong ends, converged {converged:.0f} s"
        )


def _name(obj: JSON) -> str:
    return str(obj["metadata"]["name"])
