"""R1: SIGKILL at 100 random points while 200 jobs run: nothing is lost, doubled or run again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import pytest

from chaos.conftest import FULL, Prepare
from chaos.harness import crowd
from chaos.harness.arena import Arena, hollow

SEED = 1
CONVERGED_SECONDS = 60.0


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
    async with prepare(seed=SEED) as arena, hollow(arena, crowd.life_of):
        await arena.operator.up()
        async with arena.operator.kept_alive():
            killing = asyncio.create_task(kill_at_random(arena, kills, span))
            made = await crowd.make_jobs(arena, jobs, span * 0.8)
            await killing
            last_kill = time.monotonic()
            await arena.all_finished(made, CONVERGED_SECONDS)
            converged = time.monotonic() - last_kill
        await crowd.proven(arena, made, 1)
        assert arena.operator.starts == kills + 1, f"only {arena.operator.starts - 1} kills"
        figure(f"{kills} kills in {jobs} jobs: 0 duplicates, 0 wrong ends, converged {converged:.0f} s after the last")
