"""R3: the answer is lost after the API server has done what it was asked: nothing is done twice, nothing gets stuck."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chaos.conftest import SLICE, Prepare
from chaos.harness.calls import Call
from chaos.harness.faults import CutAnswer, Fault, LoseAnswer
from chaos.harness.lifecycle import live

WAYS: dict[str, Fault] = {"lost": LoseAnswer(), "cut": CutAnswer()}


class EveryOther:
    """Chooses every other write: what is tried again gets through, and the next new write does not."""

    def __init__(self, first: int) -> None:
        self._count = first

    def __call__(self, call: Call) -> bool:
        """Tell whether this one is chosen."""
        if not call.is_write or call.is_lease:
            return False
        self._count += 1
        return self._count % 2 == 0


@pytest.mark.quick
@pytest.mark.bar("R3")
@pytest.mark.timeout(900)
async def test_r03_response_lost_after_commit(prepare: Prepare, figure: Callable[[str], None], length: str) -> None:
    """Bar: for every write: 0 duplicates, 0 stuck. Odd writes lose their answer in one run, even ones in the next."""
    async with prepare() as arena:
        await arena.operator.up()
        reference = await live(arena)
    ways = [("lost", 1)] if length == SLICE else [(way, first) for way in WAYS for first in (1, 0)]
    hit = 0
    for way, first in ways:
        async with prepare() as arena:
            rule = arena.proxy.faults.add(WAYS[way], EveryOther(first))
            await arena.operator.up()
            unequal = reference.differences(await live(arena, deadline=240))
            journal = "\n".join(str(write) for write in arena.proxy.writes)
            assert not unequal, f"answers {way}:\n" + "\n".join(unequal) + "\n" + journal
            hit += rule.happened
    assert hit >= 8 * len(ways), f"only {hit} answers were lost"
    figure(f"{hit} answers lost in {len(ways)} lives: end states and counts equal")
