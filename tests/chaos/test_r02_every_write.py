"""R2: SIGKILL just before and just after every API write of a lifecycle: nothing is lost, doubled or run again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from chaos.conftest import SLICE, Prepare
from chaos.harness.lifecycle import Outcome, live

#: Lives at the same time, each in a namespace of its own with an operator of its own.
AT_ONCE = 4
KILLED = "killed"


@pytest.mark.quick
@pytest.mark.bar("R2")
@pytest.mark.timeout(1800)
async def test_r02_sigkill_before_and_after_every_write(
    prepare: Prepare, figure: Callable[[str], None], length: str
) -> None:
    """Bar: end state and create/delete counts equal those of the run without faults."""
    async with prepare() as arena:
        await arena.operator.up()
        reference = await live(arena)
        total = len(arena.proxy.writes)
    step = 9 if length == SLICE else 1
    points = [(number, after) for number in range(1, total + 1, step) for after in (False, True)]
    room = asyncio.Semaphore(AT_ONCE)
    tasks = [asyncio.create_task(crash(prepare, room, reference, *point)) for point in points]
    found = [line for lines in await asyncio.gather(*tasks) for line in lines]
    kills = sum(line == KILLED for line in found)
    unequal = [line for line in found if line != KILLED]
    assert not unequal, "\n".join(unequal)
    assert kills >= len(points) * 3 // 4, f"only {kills} of {len(points)} points were reached"
    figure(f"{kills} kills at {len(points)} points of {total} writes: end states and counts equal")


async def crash(prepare: Prepare, room: asyncio.Semaphore, reference: Outcome, number: int, after: bool) -> list[str]:
    """Live one life with one kill; return what is unequal to the reference, and `KILLED` when the point was reached."""
    where = f"killed {'after' if after else 'before'} write {number}"
    async with room, prepare() as arena:
        await arena.operator.up()
        arena.proxy.crash_at(number, after=after, kill=arena.operator.strike)
        try:
            async with arena.operator.kept_alive():
                unequal = reference.differences(await live(arena, deadline=240))
        except (AssertionError, TimeoutError) as error:
            unequal = [f"{type(error).__name__}: {error}"]
        if unequal:
            journal = "\n".join(str(write) for write in arena.proxy.writes)
            return [f"{where}:\n" + "\n".join(unequal) + "\n" + journal]
        return [KILLED] if arena.proxy.crashed else []
