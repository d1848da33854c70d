"""Two replicas, one writer: whatever happens to the leader or to the Lease, and nobody waits long for the next one."""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.harness.manifests import fine_tune_job
from cluster.harness.operator import Operator, Replicas
from cluster.harness.under_test import JSON, ClusterUnderTest
from cluster.harness.worlds import World
from kubetune_local.client import Resource

pytestmark = pytest.mark.long

LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
NAME = "kubetune-operator"
TAKEOVER_SECONDS, HANDOVER_SECONDS = 20.0, 3.0


@pytest.fixture
def replicas(cluster: ClusterUnderTest, operator: Operator, world: World, tmp_path: Path) -> Iterator[Replicas]:
    """Two replicas that work in the test's namespace, alone."""
    operator.stop()
    made = Replicas(world, tmp_path, cluster.namespace)
    try:
        made.start()
        yield made
    finally:
        made.stop()


async def leader_of(cluster: ClusterUnderTest, replicas: Replicas) -> tuple[Operator, Operator]:
    """Return leader and follower, once there are both."""

    async def found() -> list[Operator]:
        return await asyncio.to_thread(replicas.leaders)

    (leader,) = await cluster.wait_until(found, what="a replica leads")
    (follower,) = [each for each in replicas.all if each is not leader]
    return leader, follower


async def holder(cluster: ClusterUnderTest) -> str:
    """Return who holds the Lease."""
    lease = await cluster.client.get(LEASES, NAME, cluster.namespace)
    return str(lease["spec"].get("holderIdentity") or "")


async def acted_on(cluster: ClusterUnderTest, name: str, deadline: float) -> float:
    """Make a job; return the seconds until a Job was made for it."""
    started = time.monotonic()
    job = await cluster.apply(fine_tune_job(name))

    async def children() -> list[JSON]:
        return await cluster.children("Job", job)

    await cluster.wait_until(children, deadline, f"a Job for {name}")
    return time.monotonic() - started


async def test_one_of_two_writes_and_the_other_is_ready_for_it(cluster: ClusterUnderTest, replicas: Replicas) -> None:
    leader, follower = await leader_of(cluster, replicas)
    await cluster.apply(fine_tune_job("job"))
    await cluster.succeeded("FineTuneJob", "job")
    assert leader.writes() > 0
    assert follower.writes() == 0
    assert follower.ready()
    assert follower.figure("kubetune_leader") == 0


async def test_a_killed_leader_is_followed_within_the_time_of_the_lease(
    cluster: ClusterUnderTest, replicas: Replicas
) -> None:
    leader, follower = await leader_of(cluster, replicas)
    leader.kill()
    assert await acted_on(cluster, "job", TAKEOVER_SECONDS) < TAKEOVER_SECONDS
    await cluster.succeeded("FineTuneJob", "job")
    assert follower.writes() > 0


async def test_a_leader_that_is_told_to_stop_hands_over(cluster: ClusterUnderTest, replicas: Replicas) -> None:
    leader, follower = await leader_of(cluster, replicas)
    leader.process.send(signal.SIGTERM)
    assert await acted_on(cluster, "job", HANDOVER_SECONDS) < HANDOVER_SECONDS
    await cluster.succeeded("FineTuneJob", "job")
    assert follower.figure("kubetune_leader") == 1


async def test_a_deleted_lease_changes_no_leader(cluster: ClusterUnderTest, replicas: Replicas) -> None:
    leader, follower = await leader_of(cluster, replicas)
    before = await holder(cluster)
    for number in range(3):
        await cluster.client.delete(LEASES, NAME, cluster.namespace)
        await acted_on(cluster, f"job-{number}", 10)
        await asyncio.sleep(3)
        assert leader.figure("kubetune_leader") + follower.figure("kubetune_leader") == 1
    # On a machine so busy that the leader cannot renew for its whole time, the other one may follow, as it should.
    if await holder(cluster) == before:
        assert follower.writes() == 0
        assert leader.figure("kubetune_leader") == 1


async def test_a_leader_that_was_frozen_writes_nothing_when_it_goes_on(
    cluster: ClusterUnderTest, replicas: Replicas
) -> None:
    """What happened meanwhile has piled up before it, and another has acted on it."""
    leader, follower = await leader_of(cluster, replicas)
    await cluster.apply(fine_tune_job("before"))
    await cluster.succeeded("FineTuneJob", "before")
    await asyncio.sleep(1)
    written = leader.writes()
    with leader.frozen():
        frozen_at = time.monotonic()
        await acted_on(cluster, "meanwhile", TAKEOVER_SECONDS)
        await cluster.apply(fine_tune_job("running", "train-steps-200"))
        await asyncio.sleep(max(0.0, 26 - (time.monotonic() - frozen_at)))
    for name in ("meanwhile", "running"):
        await cluster.succeeded("FineTuneJob", name)
    assert leader.writes() == written
    assert leader.figure("kubetune_leader") == 0
    assert follower.figure("kubetune_leader") == 1
    assert leader.ready()
