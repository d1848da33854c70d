"""R9: one of several replicas writes, whatever happens to it, to the Lease or to the clocks."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from chaos.conftest import FULL, Prepare
from chaos.harness import crowd
from chaos.harness.arena import Arena, hollow
from chaos.harness.clocks import nursery_with_clock
from chaos.harness.operators import ProxiedOperator
from cluster.harness.manifests import fine_tune_job
from kubetune_local.client import LEASES

TAKEOVER_SECONDS, HANDOVER_SECONDS = 20.0, 3.0
LEASE = "kubetune-operator"


def holders(arena: Arena) -> list[tuple[int, float, str]]:
    """Return (version, moment, name of the replica) of each change of the Lease; the name is empty when it is free."""
    found = []
    for revision in arena.history.of("Lease"):
        if revision.name == LEASE:
            holder = "" if revision.type == "DELETED" else revision.obj["spec"].get("holderIdentity") or ""
            found.append((revision.version, revision.at, holder.partition("_")[0]))
    return sorted(found)


def two_writers(arena: Arena) -> list[str]:
    """Return the writes that were committed while another replica held the Lease: etcd's own order tells."""
    changes, found = holders(arena), []
    for operator in arena.operators:
        for write in operator.proxy.writes:
            if write.version is None:
                continue
            before = [holder for version, _, holder in changes if version < write.version]
            if not before or before[-1] not in ("", operator.name):
                found.append(f"{operator.name} wrote {write} at {write.version} while {before[-1:]} led")
    return found


def leader(arena: Arena) -> ProxiedOperator | None:
    """Return the replica that holds the Lease."""
    changes = holders(arena)
    return next((each for each in arena.operators if changes and each.name == changes[-1][2]), None)


async def another(arena: Arena, than: ProxiedOperator, limit: float) -> float:
    """Wait until another replica leads; return the seconds that it took."""
    began = time.monotonic()

    async def taken() -> bool:
        found = leader(arena)
        return found is not None and found is not than

    await arena.wait_until(taken, limit, "another replica leads")
    return time.monotonic() - began


async def works(arena: Arena, number: int) -> str:
    """Create a job, and wait until it has a Job; returns its name."""
    made = await arena.create(fine_tune_job(f"j-{number}"))
    await arena.wait_until(lambda: arena.children("Job", made), 30, "the leader works")
    return f"j-{number}"


@asynccontextmanager
async def replicas(arena: Arena) -> AsyncIterator[ProxiedOperator]:
    """Start every replica; yields the one that leads."""
    for operator in arena.operators:
        operator.settings |= {
            "KUBETUNE_LEADER_ELECTION": "true",
            "KUBETUNE_LEASE_NAMESPACE": arena.namespace,
            "KUBETUNE_REPLICA_NAME": operator.name,
        }
        operator.begin()
    await arena.wait_until(lambda: asyncio.sleep(0, leader(arena)), 40, "a replica leads")
    first = leader(arena)
    assert first is not None
    for operator in arena.operators:
        await operator.up()
    yield first


@pytest.mark.bar("R9")
@pytest.mark.timeout(600)
async def test_r09_the_leader_is_frozen(prepare: Prepare, figure: Callable[[str], None], length: str) -> None:
    """Bar: frozen for 60 s: takeover <= 20 s, and the frozen one writes nothing when it wakes up."""
    seconds = 60.0 if length == FULL else 25.0
    async with prepare(replicas=2) as arena, hollow(arena, crowd.life_of), replicas(arena) as first:
        made = [await works(arena, 1)]
        first.child.send(signal.SIGSTOP)
        began = time.monotonic()
        took = await another(arena, first, TAKEOVER_SECONDS)
        made.append(await works(arena, 2))
        await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
        first.child.send(signal.SIGCONT)
        made += await crowd.make_jobs(arena, 6, 6, prefix="after")
        await crowd.proven(arena, made, 60)
        assert two_writers(arena) == []
        figure(f"frozen for {seconds:.0f} s: takeover after {took:.1f} s, 0 writes of two")


@pytest.mark.bar("R9")
@pytest.mark.timeout(600)
async def test_r09_the_lease_is_deleted(prepare: Prepare, figure: Callable[[str], None]) -> None:
    """Bar: the Lease is deleted, three times: never two writers, and the work goes on."""
    async with prepare(replicas=2) as arena, hollow(arena, crowd.life_of), replicas(arena):
        working = asyncio.create_task(crowd.make_jobs(arena, 12, 12))
        for _ in range(3):
            await asyncio.sleep(3)
            await arena.client.delete(LEASES, LEASE, arena.namespace)
        await crowd.proven(arena, await working, 90)
        assert two_writers(arena) == []
        figure("Lease deleted 3 times: 0 writes of two")


@pytest.mark.bar("R9")
@pytest.mark.timeout(600)
async def test_r09_hand_over_on_sigterm(prepare: Prepare, figure: Callable[[str], None]) -> None:
    """Bar: SIGTERM: another leads within 3 s."""
    async with prepare(replicas=2) as arena, hollow(arena, crowd.life_of), replicas(arena) as first:
        working = asyncio.create_task(crowd.make_jobs(arena, 10, 5))
        await asyncio.sleep(2)
        ending = asyncio.create_task(first.terminated())
        took = await another(arena, first, HANDOVER_SECONDS)
        await ending
        await crowd.proven(arena, await working, 60)
        assert two_writers(arena) == []
        figure(f"hand-over {took:.1f} s after SIGTERM")


@pytest.mark.bar("R9")
@pytest.mark.timeout(600)
async def test_r09_clocks_are_wrong_by_an_hour(prepare: Prepare, tmp_path: Path, figure: Callable[[str], None]) -> None:
    """Bar: one clock an hour ahead, the other an hour behind: one leads and stays, and is replaced when it dies."""
    with nursery_with_clock(tmp_path, 3600) as ahead, nursery_with_clock(tmp_path, -3600) as behind:
        async with prepare(replicas=2) as arena, hollow(arena, crowd.life_of):
            for operator, nursery in zip(arena.operators, (ahead, behind), strict=True):
                operator.nursery = nursery
            async with replicas(arena) as first:
                made = await crowd.make_jobs(arena, 10, 20)
                await crowd.proven(arena, made, 60)
                assert leader(arena) is first, "the Lease was taken from a leader that renewed it"
                times = [
                    revision.obj["spec"]["renewTime"]
                    for revision in arena.history.of("Lease")
                    if revision.name == LEASE and revision.type != "DELETED"
                ]
                apart = time.time() - _epoch(times[-1])
                assert 3500 < abs(apart) < 3700, f"the clock of the leader is wrong by {apart:.0f} s only"
                first.strike()
                took = await another(arena, first, TAKEOVER_SECONDS)
                changes = [holder for _, _, holder in holders(arena) if holder]
                assert sum(a != b for a, b in pairwise(changes)) == 1
                assert two_writers(arena) == []
                figure(f"clocks 2 h apart: one leader; takeover after {took:.1f} s when it died")


def _epoch(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(re.sub("Z$", "+00:00", text)).timestamp()
