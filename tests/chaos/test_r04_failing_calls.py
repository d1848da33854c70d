"""R4: one call in ten fails with 409, 429, 500, 503 or no answer at all: every run ends right, with few more writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from chaos.conftest import FULL, Prepare
from chaos.harness import crowd
from chaos.harness.arena import hollow
from chaos.harness.faults import TRANSIENT, Hang

PROBABILITY = 0.1


@pytest.mark.bar("R4")
@pytest.mark.timeout(1800)
async def test_r04_one_call_in_ten_fails(prepare: Prepare, figure: Callable[[str], None], length: str) -> None:
    """Bar: for 10 min, 100 % correct, at most twice the writes of a run without faults."""
    seconds, jobs, hang = (600.0, 150, 31.0) if length == FULL else (40.0, 20, 6.0)
    faults = tuple(replace(fault, seconds=hang) if isinstance(fault, Hang) else fault for fault in TRANSIENT)
    async with prepare() as arena, hollow(arena, crowd.life_of):
        await arena.operator.up()
        few = await crowd.make_jobs(arena, 20, 20)
        await crowd.proven(arena, few, 180)
        usual = len(arena.proxy.writes) / len(few)
    async with prepare(seed=4) as arena, hollow(arena, crowd.life_of):
        await arena.operator.up()
        rule = arena.proxy.faults.add(faults, lambda call: True, probability=PROBABILITY)
        made = await crowd.make_jobs(arena, jobs, seconds)
        calls = arena.proxy.reads + len(arena.proxy.journal)
        arena.proxy.faults.clear()
        await crowd.proven(arena, made, 180)
        ratio = len(arena.proxy.writes) / len(made) / usual
        assert arena.operator.running()
        assert ratio <= 2, f"{ratio:.2f} times the writes"
        figure(
            f"{rule.happened} of {calls} calls failed in {seconds:.0f} s: {jobs} jobs right, {ratio:.2f}x the writes"
        )
