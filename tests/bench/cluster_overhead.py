"""What a cluster adds: object to Job, and the whole way of a run less the time in which its pods ran.

    python tests/bench/cluster_overhead.py [embedded | control-plane]

The trainer is the stand-in of the cluster tests, which needs a fraction of a second a stage: what is left is the
cluster and the operator. The last line is one JSON document; times are in seconds.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2] / part) for part in ("crds", "operator", "tests")]

from cluster.harness.manifests import fine_tune_job, tasks  # noqa: E402 - after the path is set
from cluster.harness.operator import Operator  # noqa: E402
from cluster.harness.under_test import ClusterUnderTest, install_definitions  # noqa: E402
from cluster.harness.worlds import EMBEDDED, world_named  # noqa: E402
from kubetune_local.client import JOBS, KubeClient  # noqa: E402
from kubetune_local.kubeconfig import load_kubeconfig  # noqa: E402

OBJECTS = 20


async def object_to_job(cluster: ClusterUnderTest, name: str) -> float:
    """Return the seconds from the answer to a create until a watch shows the object's first Job."""
    _, version = await cluster.client.list(JOBS, cluster.namespace)
    made = await cluster.create(fine_tune_job(name))
    began = time.monotonic()
    async with asyncio.timeout(30):
        async for _, job in cluster.client.watch(JOBS, cluster.namespace, resource_version=version):
            owners = [reference["uid"] for reference in job["metadata"].get("ownerReferences", [])]
            if made["metadata"]["uid"] in owners:
                return time.monotonic() - began
    raise AssertionError("the watch ended")


async def whole_run(cluster: ClusterUnderTest) -> tuple[float, int]:
    """Return the seconds of a run with its evaluation, and those in which its pods ran."""
    began = time.monotonic()
    await cluster.create(fine_tune_job("whole", evaluation=tasks()))
    job = await cluster.succeeded("FineTuneJob", "whole")
    wall = time.monotonic() - began
    (run,) = await cluster.list("EvalRun")
    return wall, job["status"]["activeSeconds"] + run["status"]["activeSeconds"]


async def measure(cluster: ClusterUnderTest) -> dict[str, Any]:
    """Return the figures of a world."""
    await object_to_job(cluster, "warm-up")
    await cluster.succeeded("FineTuneJob", "warm-up")
    seconds = []
    for number in range(OBJECTS):
        seconds.append(await object_to_job(cluster, f"job-{number}"))
        await cluster.succeeded("FineTuneJob", f"job-{number}")
    wall, active = await whole_run(cluster)
    return {
        "objectToJob": {"n": OBJECTS, "median": round(statistics.median(seconds), 3), "max": round(max(seconds), 3)},
        "wholeRun": {"wall": round(wall, 2), "pods": active},
    }


async def _measured(world: Any, operator: Operator) -> dict[str, Any]:
    async with KubeClient(load_kubeconfig(world.kubeconfig)) as client:
        await install_definitions(client)
        await asyncio.to_thread(operator.start)
        return await measure(ClusterUnderTest(world, operator, client, "default"))


def main() -> None:
    """Start a world, measure it, stop it."""
    name = sys.argv[1] if len(sys.argv) > 1 else EMBEDDED
    with tempfile.TemporaryDirectory() as folder:
        world = world_named(name, Path(folder))
        operator = Operator(world, Path(folder))
        try:
            began = time.monotonic()
            world.start()
            up = time.monotonic() - began
            figures = asyncio.run(_measured(world, operator))
        finally:
            operator.stop()
            world.stop()
    print(json.dumps({"cluster": name, "start": round(up, 2), **figures}))


if __name__ == "__main__":
    main()
