"""R6: watch streams break in every way a stream can: events are seen again within seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from chaos.conftest import SLICE, Prepare
from chaos.harness import crowd
from chaos.harness.arena import Arena, hollow
from chaos.harness.calls import Call
from chaos.harness.faults import RefuseWatch
from cluster.harness.manifests import fine_tune_job


def _end(arena: Arena) -> None:
    for stream in arena.proxy.streams:
        stream.end()


def _cut(arena: Arena) -> None:
    for stream in arena.proxy.streams:
        stream.cut()


def _error(arena: Arena) -> None:
    for stream in arena.proxy.streams:
        stream.error(500, "InternalError")


def _expired(arena: Arena) -> None:
    for stream in arena.proxy.streams:
        stream.error(410, "Expired")


def _refused(arena: Arena) -> None:
    arena.proxy.faults.add(RefuseWatch(), _TooOld())
    _end(arena)


class _TooOld:
    """Chooses the watches of versions that are too old: those of a kind that was not listed since."""

    def __init__(self) -> None:
        self._listed: set[str] = set()

    def __call__(self, call: Call) -> bool:
        """Tell whether this one is chosen."""
        if call.verb == "list":
            self._listed.add(call.resource)
        return call.verb == "watch" and call.resource not in self._listed


def _silent(arena: Arena) -> None:
    for stream in arena.proxy.streams:
        stream.silence()


WAYS: dict[str, tuple[Callable[[Arena], None], float]] = {
    "ended": (_end, 15),
    "cut in an event": (_cut, 15),
    "ERROR 500": (_error, 15),
    "ERROR 410": (_expired, 15),
    "refused with 410": (_refused, 15),
    "silent": (_silent, 90),
}
"""What happens to all streams -> the seconds in which a new job must be seen."""


@pytest.mark.quick
@pytest.mark.bar("R6")
@pytest.mark.timeout(900)
async def test_r06_streams_break(prepare: Prepare, figure: Callable[[str], None], length: str) -> None:
    """Bar: in-stream errors, 410, cut JSON: recovered <= 15 s; a silent stream <= 90 s. No resync helps."""
    ways = {name: way for name, way in WAYS.items() if length != SLICE or name != "silent"}
    took: dict[str, float] = {}
    async with prepare() as arena, hollow(arena, crowd.life_of):
        await arena.operator.up()
        made = await crowd.make_jobs(arena, 1, 1)
        for index, (name, (break_all, limit)) in enumerate(ways.items(), start=2):
            await arena.wait_until(lambda: _watching(arena), 30, "all streams are open")
            break_all(arena)
            began = time.monotonic()
            job = await arena.create(fine_tune_job(f"j-{index}"))
            made.append(f"j-{index}")
            await arena.wait_until(lambda job=job: arena.children("Job", job), limit, f"streams {name}: a Job is made")
            took[name] = time.monotonic() - began
        await crowd.proven(arena, made, 150)
        assert arena.operator.starts == 1
        assert arena.operator.running()
    figure(", ".join(f"{name}: {seconds:.1f} s" for name, seconds in took.items()))


async def _watching(arena: Arena) -> bool:
    """Tell whether a stream that still speaks is open for each kind that is watched."""
    open_ = {stream.call.resource for stream in arena.proxy.streams if stream.speaks}
    return {"finetunejobs", "evalruns", "jobs", "pods"} <= open_
