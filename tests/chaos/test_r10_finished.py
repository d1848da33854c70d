"""R10: finished is finished: whatever is deleted, relabelled, restarted or upgraded afterwards, nothing runs again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from chaos.conftest import Prepare
from chaos.harness import crowd
from chaos.harness.arena import hollow
from cluster.harness.manifests import fine_tune_job


@pytest.mark.quick
@pytest.mark.bar("R10")
@pytest.mark.timeout(300)
async def test_r10_finished_runs_are_never_run_again(prepare: Prepare, figure: Callable[[str], None]) -> None:
    """Bar: finished object + Job deleted, pods deleted, relabelled, operator restarted and upgraded: 0 Jobs made."""
    async with prepare() as arena, hollow(arena, crowd.life_of):
        await arena.operator.up()
        made = await crowd.make_jobs(arena, 5, 1)
        await crowd.proven(arena, made, 60)
        before = len(arena.history.created("Job", "Pod"))
        for job in await arena.list("Job"):
            await arena.delete("Job", job["metadata"]["name"])
        await asyncio.sleep(2)
        for name in made:
            await arena.patch("FineTuneJob", name, {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}})
        await arena.operator.killed()
        await arena.operator.up()
        await arena.operator.terminated()
        await arena.operator.up(
            KUBETUNE_TRAINER_IMAGE="docker.io/library/python:3.12-slim", KUBETUNE_RESYNC_SECONDS="2"
        )
        for name in made:
            await arena.patch("FineTuneJob", name, {"spec": {"ttlSecondsAfterFinished": 3600}})
        await asyncio.sleep(6)
        await arena.proven()
        again = len(arena.history.created("Job", "Pod")) - before
        assert again == 0, f"{again} Jobs and pods were made for runs that had ended"
        figure("5 runs, 5 kinds of disturbance: 0 Jobs made again")


@pytest.mark.bar("R10")
@pytest.mark.timeout(300)
async def test_r10_ttl_takes_the_object_and_nothing_comes_back(prepare: Prepare, figure: Callable[[str], None]) -> None:
    """Bar: after `ttlSecondsAfterFinished` object and children are gone, once, and stay gone over a restart."""
    async with prepare() as arena, hollow(arena, crowd.life_of):
        await arena.operator.up()
        await arena.create(fine_tune_job("j-1", ttlSecondsAfterFinished=3))
        await arena.wait_for("FineTuneJob", "j-1", lambda obj: obj is not None)
        await arena.wait_for("FineTuneJob", "j-1", lambda obj: obj is None, 60)
        await arena.operator.killed()
        await arena.operator.up()
        await arena.wait_until(lambda: _none(arena.list("Job")), 30, "the Jobs are collected")
        await asyncio.sleep(3)
        await arena.history.caught_up()
        assert len(arena.history.created("Job")) == 2
        assert len(arena.history.created("FineTuneJob")) == 1
        figure("TTL: deleted once, nothing came back")


async def _none(listing: object) -> bool:
    return not await listing  # type: ignore[misc]
