"""Many jobs on hollow nodes, each with an end that is known beforehand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from chaos.harness.arena import Arena
from cluster.harness.hollow_kubelet import Life
from cluster.harness.manifests import fine_tune_job
from cluster.harness.under_test import JSON, condition_of
from kubetune_api import names

#: Every fifth job diverges: it fails for good, at once. The others succeed.
FAILS = 5


def number_of(pod: JSON) -> int:
    """Return the number of the job that a pod belongs to."""
    return int(pod["metadata"]["labels"][names.LABEL_NAME].rpartition("-")[2])


def life_of(pod: JSON) -> Life:
    """Return what becomes of a pod: half a second to two and a half, and the end that its job's number says."""
    number = number_of(pod)
    if pod["metadata"]["labels"][names.LABEL_STAGE] == "train" and number % FAILS == 0:
        return Life(0.2, 1.0, exit_code=78)
    return Life(0.2, 0.5 + number % 10 * 0.2)


async def make_jobs(arena: Arena, count: int, span: float, prefix: str = "j") -> list[str]:
    """Create jobs at an even pace over a time; returns their names."""
    made = []
    for number in range(1, count + 1):
        made.append(f"{prefix}-{number}")
        await arena.create(fine_tune_job(made[-1]))
        await asyncio.sleep(span / count)
    return made


def wrong_ends(done: Iterable[JSON]) -> list[str]:
    """Return the jobs that ended otherwise than they had to."""
    found = []
    for obj in done:
        name = obj["metadata"]["name"]
        well = condition_of(obj, "Succeeded")["status"] == "True"
        if well != (int(name.rpartition("-")[2]) % FAILS != 0):
            found.append(f"{name}: {condition_of(obj, 'Failed')}")
    return found


async def proven(arena: Arena, names_: list[str], deadline: float) -> list[JSON]:
    """Wait until all have ended, and assert that each ended as it had to, with one Job a stage; returns them."""
    done = await arena.all_finished(names_, deadline)
    await arena.proven()
    wrong = wrong_ends(done)
    assert not wrong, wrong[:5]
    made = len(arena.history.created("Job"))
    assert made == 2 * len(names_), f"{made} Jobs for {len(names_)} jobs of two stages"
    return done
