"""R14: rights, quota and the namespace are taken away: it is told, nothing spins, and it heals when they come back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from chaos.conftest import Prepare
from chaos.harness import crowd
from chaos.harness.arena import Arena, hollow, namespace_of
from chaos.harness.rights import Rights
from cluster.harness.manifests import fine_tune_job
from cluster.harness.under_test import FINE_TUNE_JOBS, JSON, condition_of
from cluster.harness.worlds import World
from kubetune_local.client import CONFIGMAPS, JOBS, NAMESPACES, KubeClient, Resource
from kubetune_local.kubeconfig import load_kubeconfig

TOLD_SECONDS, HEALED_SECONDS = 60.0, 75.0
#: More calls than that in half a minute about one waiting job is a hot loop.
CALLS = 120
#: Writes that may be refused while the runs of a namespace go: about ten a run, further apart each time.
REFUSED = 50
QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")


async def told(arena: Arena, name: str, reason: str) -> float:
    """Wait until a job says what keeps it; return the seconds that it took."""
    began = time.monotonic()

    def says(obj: JSON | None) -> bool:
        return condition_of(obj, "Progressing")["reason"] == reason

    await arena.wait_for("FineTuneJob", name, says, TOLD_SECONDS)
    return time.monotonic() - began


async def calm(arena: Arena, seconds: float = 30.0) -> int:
    """Assert that the operator does not spin; return how many calls it made."""
    before = arena.proxy.reads + len(arena.proxy.journal)
    await asyncio.sleep(seconds)
    calls = arena.proxy.reads + len(arena.proxy.journal) - before
    assert calls <= CALLS, f"{calls} calls in {seconds:.0f} s: a hot loop"
    return calls


@pytest.mark.bar("R14")
@pytest.mark.timeout(600)
async def test_r14_rights_are_revoked(chaos_world: World, prepare: Prepare, figure: Callable[[str], None]) -> None:
    """Bar: one right, then all of them: told <= 60 s where that is possible, no hot loop, self-heals."""
    async with KubeClient(load_kubeconfig(chaos_world.kubeconfig)) as client:
        rights = Rights(client)
        token = await rights.install()
    async with prepare(token=token, whole=True) as arena, hollow(arena, crowd.life_of):
        await arena.operator.up()
        await crowd.proven(arena, await crowd.make_jobs(arena, 1, 1), 60)
        rights = Rights(arena.client)
        try:
            await rights.forbid("jobs", "create")
            await arena.create(fine_tune_job("j-2"))
            took = await told(arena, "j-2", "Forbidden")
            calls = await calm(arena)
            await rights.restore()
            await arena.succeeded("FineTuneJob", "j-2", HEALED_SECONDS)
            await rights.revoke()
            await arena.create(fine_tune_job("j-3"))
            await calm(arena)
            assert arena.operator.running()
        finally:
            await rights.restore()
        await arena.succeeded("FineTuneJob", "j-3", HEALED_SECONDS)
        await arena.proven()
        figure(f"right revoked: told after {took:.1f} s, {calls} calls in 30 s, healed")


@pytest.mark.bar("R14")
@pytest.mark.timeout(600)
async def test_r14_quota_is_exceeded(prepare: Prepare, figure: Callable[[str], None]) -> None:
    """Bar: no quota for Jobs: told <= 60 s, no hot loop, goes on when there is."""
    async with prepare() as arena, hollow(arena, crowd.life_of):
        hard = {"hard": {"count/jobs.batch": "0"}}
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": hard}
        await arena.client.create(QUOTAS, quota, arena.namespace)
        await arena.operator.up()
        await asyncio.sleep(2)  # the quota controller must have seen the quota before it counts
        await arena.create(fine_tune_job("j-1"))
        took = await told(arena, "j-1", "QuotaExceeded")
        calls = await calm(arena)
        await arena.client.delete(QUOTAS, "none", arena.namespace)
        await crowd.proven(arena, ["j-1"], HEALED_SECONDS + 30)
        figure(f"quota exceeded: told after {took:.1f} s, {calls} calls in 30 s, healed")


@pytest.mark.bar("R14")
@pytest.mark.timeout(600)
async def test_r14_the_namespace_goes(prepare: Prepare, figure: Callable[[str], None]) -> None:
    """Bar: a namespace is deleted under running jobs: nothing is made in it, nothing spins, others work on."""
    async with prepare(whole=True) as arena, hollow(arena, crowd.life_of), namespace_of(arena.client) as other:
        await arena.operator.up()
        for number in range(1, 6):
            await arena.client.create(FINE_TUNE_JOBS, fine_tune_job(f"j-{number}"), other)
        await arena.wait_until(lambda: _jobs_in(arena, other), 30, "the jobs run")
        keeper = {"metadata": {"name": "keeper", "finalizers": ["scenario.example/keep"]}}
        await arena.client.create(CONFIGMAPS, {"apiVersion": "v1", "kind": "ConfigMap", **keeper}, other)
        before = len(arena.proxy.writes)
        await arena.client.delete(NAMESPACES, other)
        await arena.wait_until(lambda: _no_runs(arena, other), 60, "the runs are gone; the namespace terminates")
        refused = [
            str(write) for write in arena.proxy.writes[before:] if write.call.verb == "create" and write.code == 403
        ]
        calls = await calm(arena)
        await arena.client.patch(CONFIGMAPS, "keeper", {"metadata": {"finalizers": None}}, other)
        await crowd.proven(arena, await crowd.make_jobs(arena, 2, 1), 60)
        assert arena.operator.tracebacks() == 0
        assert len(refused) <= REFUSED, f"{len(refused)} refused: {refused[-5:]}"
        figure(f"namespace terminating: {len(refused)} refused writes, then {calls} calls in 30 s; the others go on")


async def _jobs_in(arena: Arena, namespace: str) -> bool:
    return len((await arena.client.list(JOBS, namespace))[0]) >= 5


async def _no_runs(arena: Arena, namespace: str) -> bool:
    return not (await arena.client.list(FINE_TUNE_JOBS, namespace))[0]
