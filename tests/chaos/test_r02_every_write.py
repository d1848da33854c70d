"""R2: SIGKILL just before and just after every API write of a lifecycle: nothing is lost, doubled or run again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chaos.conftest import SLICE, Prepare
from chaos.harness.lifecycle import live


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
    kills = 0
    for number, after in points:
        async with prepare() as arena:
            await arena.operator.up()
            arena.proxy.crash_at(number, after=after, kill=arena.operator.strike)
            async with arena.operator.kept_alive():
                outcome = await live(arena)
            kills += arena.proxy.crashed
            where = f"killed {'after' if after else 'before'} write {number} of {total}"
            journal = "\n".join(str(write) for write in arena.proxy.writes)
            unequal = reference.differences(outcome)
            assert not unequal, f"{where}:\n" + "\n".join(unequal) + "\n" + journal
    assert kills >= len(points) * 3 // 4, f"only {kills} of {len(points)} points were reached"
    figure(f"{kills} kills at {len(points)} points of {total} writes: end states and counts equal")
