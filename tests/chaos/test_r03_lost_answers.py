"""R3: the answer is lost after the API server has done what it was asked: nothing is done twice, nothing gets stuck."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from chaos.conftest import SLICE, Prepare
from chaos.harness.calls import Call
from chaos.harness.faults import CutAnswer, Fault, LoseAnswer
from chaos.harness.lifecycle import live

WAYS: dict[str, Fault] = {"lost": LoseAnswer(), "cut": CutAnswer()}


class FirstOfEach:
    """Chooses the first time that each child is created, and every other change of an object."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def __call__(self, call: Call) -> bool:
        """Tell whether this one is chosen."""
        if not call.is_write or call.is_lease:
            return False
        what = f"{call.verb} {call.resource} {call.name}"
        self._seen[what] += 1
        return self._seen[what] == 1 if call.verb == "create" else self._seen[what] % 2 == 1


@pytest.mark.quick
@pytest.mark.bar("R3")
@pytest.mark.timeout(900)
async def test_r03_response_lost_after_commit(prepare: Prepare, figure: Callable[[str], None], length: str) -> None:
    """Bar: for every write: 0 duplicates, 0 stuck. What is tried again gets through."""
    async with prepare() as arena:
        await arena.operator.up()
        reference = await live(arena)
    ways = ["lost"] if length == SLICE else list(WAYS)
    hit = 0
    for way in ways:
        async with prepare() as arena:
            rule = arena.proxy.faults.add(WAYS[way], FirstOfEach())
            await arena.operator.up()
            unequal = reference.differences(await live(arena, deadline=240))
            journal = "\n".join(str(write) for write in arena.proxy.writes)
            assert not unequal, f"answers {way}:\n" + "\n".join(unequal) + "\n" + journal
            hit += rule.happened
    assert hit >= 8 * len(ways), f"only {hit} answers were lost"
    figure(f"{hit} answers lost in {len(ways)} lives: end states and counts equal")
