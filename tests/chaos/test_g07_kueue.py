"""G7: Kueue admits, evicts and admits again elsewhere; the scenario plays its part through the API."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chaos.conftest import Prepare
from chaos.harness.arena import Arena, hollow
from cluster.harness.hollow_kubelet import HollowKubelet, Life, forever
from cluster.harness.manifests import fine_tune_job
from cluster.harness.under_test import JSON, condition_of
from kubetune_api import names
from kubetune_local.client import JOBS

ROUNDS = 10
HOST = "kubernetes.io/hostname"


class Kueue:
    """Admits and evicts Jobs of a queue, as Kueue's Job integration does."""

    def __init__(self, arena: Arena, nodes: HollowKubelet) -> None:
        self._arena = arena
        self._nodes = nodes.names

    async def waiting(self, owner: JSON, stage: str) -> str:
        """Wait for the suspended Job of a stage; return its name."""

        async def found() -> str | None:
            jobs = await self._arena.children("Job", owner, stage)
            queued = [job for job in jobs if job["spec"].get("suspend") and not _over(job)]
            return queued[0]["metadata"]["name"] if queued else None

        name = await self._arena.wait_until(found, 60, f"a Job of {stage} in the queue")
        assert name is not None
        return name

    async def admit(self, name: str, turn: int) -> None:
        """Choose nodes, and let it go; the start time of before is taken back first, as Kueue does."""
        client, space = self._arena.client, self._arena.namespace
        job = await client.get(JOBS, name, space)
        if job["status"].get("startTime"):
            await client.patch(JOBS, name, {"status": {"startTime": None}}, space, subresource="status")
        template = {"spec": {"nodeSelector": {HOST: self._nodes[turn % len(self._nodes)]}}}
        await client.patch(JOBS, name, {"spec": {"template": template, "suspend": False}}, space)

    async def evict(self, owner: JSON, name: str) -> None:
        """Wait until its pod runs, then take its place back; returns when the pod is gone."""

        async def runs() -> bool:
            pods = await self._arena.children("Pod", owner, "train")
            return any(pod["status"].get("phase") == "Running" for pod in pods)

        async def stopped() -> bool:
            job = await self._arena.client.get(JOBS, name, self._arena.namespace)
            return not job["status"].get("active") and not await runs()

        await self._arena.wait_until(runs, 60, "the pod runs")
        await self._arena.client.patch(JOBS, name, {"spec": {"suspend": True}}, self._arena.namespace)
        await self._arena.wait_until(stopped, 60, "the pod is stopped")


def _over(job: JSON) -> bool:
    return any(each["type"] in ("Complete", "Failed") for each in job["status"].get("conditions", []))


@pytest.mark.bar("G7")
@pytest.mark.timeout(600)
async def test_g07_evicted_and_admitted_ten_times(prepare: Prepare, figure: Callable[[str], None]) -> None:
    """Bar: 10 rounds with changed node selectors: 0 field conflicts, and the operator never writes `suspend`."""
    rounds = 0

    def life(pod: JSON) -> Life:
        train = pod["metadata"]["labels"][names.LABEL_STAGE] == "train"
        return Life(0, forever if train and rounds < ROUNDS else 0.3)

    async with prepare() as arena, hollow(arena, life, nodes=3) as nodes:
        await arena.operator.up()
        kueue = Kueue(arena, nodes)
        owner = await arena.create(fine_tune_job("j-1", retries=0, scheduling={"queueName": "team"}))
        prepared = await arena.wait_until(lambda: arena.children("Job", owner, "prepare"), 30, "the first Job")
        if prepared[0]["spec"].get("suspend"):
            await kueue.admit(await kueue.waiting(owner, "prepare"), 0)
        name = await kueue.waiting(owner, "train")
        for rounds in range(1, ROUNDS + 1):
            await kueue.admit(name, rounds)
            if rounds < ROUNDS:
                await kueue.evict(owner, name)
        job = await arena.succeeded("FineTuneJob", "j-1", 60)
        await arena.proven()
        assert condition_of(job, "Failed")["status"] != "True"
        assert len([each for each in arena.history.created("Job") if each.name == name]) == 1
        touched = [
            str(each) for each in arena.proxy.writes if each.call.resource == "jobs" and each.call.verb != "create"
        ]
        assert touched == [], f"the operator wrote to Jobs: {touched}"
        conflicts = [str(each) for each in arena.proxy.writes if each.code == 409]
        figure(f"{ROUNDS} admissions, {ROUNDS - 1} evictions: completed, 0 writes to Jobs, {len(conflicts)} conflicts")
