"""R5: the API server is away: the operator waits, without an exit, and goes on as soon as it is back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from chaos.conftest import FULL, Prepare
from chaos.harness import crowd
from chaos.harness.arena import hollow
from cluster.harness.manifests import fine_tune_job

BACK_SECONDS = 10.0


@pytest.mark.bar("R5")
@pytest.mark.timeout(1800)
async def test_r05_api_server_away(prepare: Prepare, figure: Callable[[str], None], length: str) -> None:
    """Bar: down for 10 min: no exit, alive all the time, reconciling <= 10 s after return."""
    seconds = 600.0 if length == FULL else 45.0
    async with prepare() as arena, hollow(arena, crowd.life_of):
        await arena.operator.up()
        made = await crowd.make_jobs(arena, 10, 2)
        await arena.proxy.down()
        made.append("late-11")
        late = await arena.create(fine_tune_job("late-11"))
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            await asyncio.sleep(5)
            assert arena.operator.running(), arena.operator.tail()
            assert await asyncio.to_thread(arena.operator.alive), "liveness fails: the kubelet would restart it"
        await arena.proxy.up()
        back = time.monotonic()
        await arena.wait_until(lambda: arena.children("Job", late), BACK_SECONDS, "the new job has its Job")
        took = time.monotonic() - back
        await crowd.proven(arena, made, 60)
        assert arena.operator.starts == 1
        figure(f"down for {seconds:.0f} s: no exit, alive, reconciling {took:.1f} s after return")
