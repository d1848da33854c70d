"""O2: an operator that does not move says so, and one that moves keeps no series of what is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.conftest import FULL, Prepare
from chaos.harness import crowd
from chaos.harness.arena import Arena, hollow
from chaos.harness.wedges import WEDGES
from cluster.harness.hollow_kubelet import Life

FOUND_SECONDS = 180.0


@pytest.mark.bar("O2")
@pytest.mark.timeout(900)
async def test_o02_a_wedge_fails_liveness(
    prepare: Prepare, tmp_path: Path, figure: Callable[[str], None], length: str
) -> None:
    """Bar: an injected wedge - of the passes, of the watches, of the whole loop - fails liveness <= 3 min."""
    wedges = list(WEDGES) if length == FULL else ["watches", "process"]
    async with prepare(replicas=len(wedges)) as arena, hollow(arena, crowd.life_of):
        for operator, name in zip(arena.operators, wedges, strict=True):
            operator.wedge = (name, str(tmp_path / "wedged"))
            await operator.up()
        await crowd.proven(arena, await crowd.make_jobs(arena, 1, 1), 60)
        assert all([await asyncio.to_thread(each.alive) for each in arena.operators])
        (tmp_path / "wedged").touch()
        began, found = time.monotonic(), dict[str, float]()
        await crowd.make_jobs(arena, 1, 1, prefix="wedged")
        while len(found) < len(wedges):
            waited = time.monotonic() - began
            assert waited < FOUND_SECONDS, f"alive after {waited:.0f} s: {set(wedges) - set(found)}"
            for operator, name in zip(arena.operators, wedges, strict=True):
                if name not in found and not await asyncio.to_thread(operator.alive):
                    found[name] = time.monotonic() - began
            await asyncio.sleep(1)
        figure("wedged " + ", ".join(f"{name}: found after {seconds:.0f} s" for name, seconds in found.items()))


def series(arena: Arena) -> int:
    """Return how many series the metrics page has, besides those that count calls by their outcome."""
    lines = arena.operator.metrics().splitlines()
    return len([line for line in lines if line and not line.startswith("#")])


@pytest.mark.bar("O2")
@pytest.mark.timeout(900)
async def test_o02_no_series_for_what_is_gone(prepare: Prepare, figure: Callable[[str], None], length: str) -> None:
    """Bar: after 1,000 deletions there are as many series as after the first ones."""
    rounds, jobs = (10, 100) if length == FULL else (3, 20)
    async with prepare() as arena, hollow(arena, lambda pod: Life(0, 0.05)):
        await arena.operator.up()
        counts = []
        for number in range(rounds):
            made = await crowd.make_jobs(arena, jobs, 1, prefix=f"r{number}")
            await arena.all_finished(made, 240)
            for name in made:
                await arena.delete("FineTuneJob", name)
            await arena.wait_until(lambda: _none_counted(arena), 60, "no job is counted")
            counts.append(await asyncio.to_thread(series, arena))
        assert counts[-1] <= counts[0] + 5, f"series after each {jobs} deletions: {counts}"
        figure(f"series after {jobs} deletions: {counts[0]}, after {jobs * rounds}: {counts[-1]}")


def _counted(arena: Arena) -> float:
    return arena.operator.figure("kubetune_runs", kind="FineTuneJob")


async def _none_counted(arena: Arena) -> bool:
    return await asyncio.to_thread(_counted, arena) == 0
