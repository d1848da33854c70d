"""G3: disruptions cost no retry, and have an end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from chaos.conftest import FULL, Prepare
from chaos.harness.arena import Arena, hollow
from cluster.harness.hollow_kubelet import Life, forever
from cluster.harness.manifests import fine_tune_job
from cluster.harness.under_test import JSON, condition_of, ended
from kubetune_api import names

#: The Job controller waits 10 s before it replaces an evicted pod, then twice as long each time: 160 s for the fifth.
PATIENCE = 240.0
ALLOWED = 2


async def evict(arena: Arena, owner: JSON, known: set[str]) -> None:
    """Evict the next training pod, as a drain of its node does."""

    async def fresh() -> JSON | None:
        pods = await arena.children("Pod", owner, "train")
        alive = [pod for pod in pods if pod["status"].get("phase") == "Running"]
        return next((pod for pod in alive if pod["metadata"]["uid"] not in known), None)

    pod = await arena.wait_until(fresh, PATIENCE, f"training pod {len(known) + 1} of {owner['metadata']['name']}")
    assert pod is not None
    meta = pod["metadata"]
    known.add(meta["uid"])
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": meta["name"]}}
    await arena.client.request("POST", f"/api/v1/namespaces/{arena.namespace}/pods/{meta['name']}/eviction", body=body)


@pytest.mark.bar("G3")
@pytest.mark.timeout(1200)
async def test_g03_five_disruptions_without_retries(
    prepare: Prepare, figure: Callable[[str], None], length: str
) -> None:
    """Bar: evicted five times with `retries: 0`: completes; evicted more often than allowed: fails, with a reason."""
    rounds = 5 if length == FULL else 3
    known: set[str] = set()

    def life(pod: JSON) -> Life:
        labels = pod["metadata"]["labels"]
        if labels[names.LABEL_STAGE] != "train":
            return Life()
        return Life(0, forever if len(known) < rounds or labels[names.LABEL_NAME] == "j-2" else 0.5)

    async with prepare() as arena, hollow(arena, life):
        await arena.operator.up()
        first = await arena.create(fine_tune_job("j-1", retries=0))
        for _ in range(rounds):
            await evict(arena, first, known)
        job = await arena.succeeded("FineTuneJob", "j-1", PATIENCE)
        counted = job["status"].get("disruptions", 0)
        assert 1 <= counted <= rounds  # a pod that is gone before a pass has seen it end is not counted
        assert not job["status"].get("failures")
        await arena.operator.terminated()
        await arena.operator.up(KUBETUNE_MAX_DISRUPTIONS=str(ALLOWED))
        second = await arena.create(fine_tune_job("j-2", retries=0))
        evictions = 0
        while not ended(await arena.get("FineTuneJob", "j-2")):
            assert evictions < 2 * (ALLOWED + 1), f"{evictions} evictions where {ALLOWED} are allowed"
            await evict(arena, second, known)
            evictions += 1
            await asyncio.sleep(5)
        failed = await arena.get("FineTuneJob", "j-2")
        assert condition_of(failed, "Failed")["reason"] == "TooManyDisruptions"
        await arena.proven()
        figure(
            f"{rounds} evictions with retries 0: completed, {counted} of them counted; "
            f"failed and told why at the {evictions}th where {ALLOWED} are allowed"
        )
