"""The Lease and the gate, by a clock that the test sets: never two who write, whatever happens to the Lease."""

from typing import Any

import pytest

from kubetune_operator.cluster.gate import Gate
from kubetune_operator.cluster.lease import Elector, Timing
from kubetune_operator.errors import ApiUnreachable, NotLeader
from unit.operator.cluster_in_memory import InMemory

LEASE = ("Lease", "system", "kubetune-operator")
TIMING = Timing(lease=15, renew=10, retry=2)


class Server(InMemory):
    """An API server that may be out of reach of one replica, or lose its answer after the write."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.answers_lost = 0

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        self._reach()
        return await super().get(kind, namespace, name)

    async def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self._reach()
        return self._answer(await super().create(manifest))

    async def merge(self, *arguments: Any) -> dict[str, Any]:
        self._reach()
        return self._answer(await super().merge(*arguments))

    def _reach(self) -> None:
        if self.away:
            raise ApiUnreachable("no answer")

    def _answer(self, document: dict[str, Any]) -> dict[str, Any]:
        if self.answers_lost:
            self.answers_lost -= 1
            raise ApiUnreachable("the answer was lost")
        return document


class Replica:
    """One replica, with a clock of its own that only the test turns."""

    def __init__(self, server: Server, name: str) -> None:
        self.now = 1000.0
        self.gate = Gate(self.clock)
        client: Any = server
        self.elector = Elector(client, self.gate, "kubetune-operator", "system", name, TIMING, self.clock)

    def clock(self) -> float:
        return self.now

    def writes(self) -> bool:
        try:
            self.gate.check()
        except NotLeader:
            return False
        return True


class Town:
    """Two replicas and a server; time passes for both."""

    def __init__(self) -> None:
        self.server = Server()
        self.first, self.second = Replica(self.server, "first"), Replica(self.server, "second")

    async def lead(self) -> None:
        """Make the first replica lead, as at a first installation."""
        await self.first.elector.step()
        self.pass_(10)
        await self.first.elector.step()
        await self.second.elector.step()
        assert self.first.writes()
        assert not self.second.writes()

    def pass_(self, seconds: float) -> None:
        self.first.now += seconds
        self.second.now += seconds

    async def run(self, seconds: int, *alive: Replica) -> None:
        """Let replicas look once a second; at no moment may both write."""
        for _ in range(seconds):
            self.pass_(1)
            for replica in alive:
                await replica.elector.step()
                assert not (self.first.writes() and self.second.writes())

    def holder(self) -> str:
        return str(self.server.objects[LEASE]["spec"]["holderIdentity"])


async def test_one_leads_and_renews_and_the_other_waits() -> None:
    town = Town()
    await town.lead()
    await town.run(60, town.first, town.second)
    assert town.first.writes()
    assert town.holder() == town.first.elector.identity


async def test_two_processes_of_one_pod_are_two() -> None:
    server = Server()
    assert Replica(server, "pod").elector.identity != Replica(server, "pod").elector.identity


async def test_a_dead_leader_is_followed_after_the_lease_has_run_out_and_not_before() -> None:
    town = Town()
    await town.lead()
    await town.run(14, town.second)
    assert not town.second.writes()
    await town.run(3, town.second)
    assert town.second.writes()
    assert town.server.objects[LEASE]["spec"]["leaseTransitions"] == 1


async def test_a_leader_that_cannot_renew_stops_writing_before_anybody_else_may() -> None:
    town = Town()
    await town.lead()
    town.server.away = True
    await town.run(9, town.first)
    assert town.first.writes()
    await town.run(2, town.first)
    assert not town.first.writes()


async def test_a_frozen_leader_finds_the_gate_shut_when_it_goes_on() -> None:
    town = Town()
    await town.lead()
    await town.run(60, town.second)
    assert town.second.writes()
    assert not town.first.writes()
    await town.run(30, town.first, town.second)
    assert town.second.writes()


async def test_the_gate_counts_from_before_the_request() -> None:
    """A renewal whose answer is read after a freeze says nothing about now."""
    town = Town()
    await town.lead()

    async def frozen(*arguments: Any) -> dict[str, Any]:
        stored = await InMemory.merge(town.server, *arguments)
        town.pass_(60)
        return stored

    town.server.merge = frozen  # type: ignore[method-assign]
    await town.first.elector.step()
    assert not town.first.writes()


async def test_wrong_clocks_in_the_lease_play_no_part() -> None:
    town = Town()
    await town.lead()
    for moment in ("1999-01-01T00:00:00.000000Z", "2099-01-01T00:00:00.000000Z"):
        town.server.objects[LEASE]["spec"]["renewTime"] = moment
        await town.run(5, town.first, town.second)
        assert town.first.writes()


async def test_a_deleted_lease_is_made_again_by_its_leader_only() -> None:
    town = Town()
    await town.lead()
    del town.server.objects[LEASE]
    await town.second.elector.step()
    assert LEASE not in town.server.objects
    await town.run(30, town.second, town.first)
    assert town.holder() == town.first.elector.identity
    assert town.first.writes()


async def test_a_new_replica_that_finds_no_lease_gives_a_living_leader_time_to_make_it_again() -> None:
    town = Town()
    await town.lead()
    del town.server.objects[LEASE]
    third = Replica(town.server, "third")
    await third.elector.step()
    await town.first.elector.step()
    third.now += 60
    await third.elector.step()
    assert town.holder() == town.first.elector.identity
    assert not third.writes()


async def test_a_deleted_lease_of_a_dead_leader_is_made_when_its_time_is_over() -> None:
    town = Town()
    await town.lead()
    del town.server.objects[LEASE]
    await town.run(14, town.second)
    assert not town.second.writes()
    await town.run(3, town.second)
    assert town.second.writes()


async def test_a_lease_given_back_is_taken_at_once() -> None:
    town = Town()
    await town.lead()
    await town.first.elector.release()
    assert not town.first.writes()
    assert town.holder() == ""
    await town.second.elector.step()
    assert town.second.writes()


async def test_a_lease_of_another_is_not_given_back() -> None:
    town = Town()
    await town.lead()
    await town.second.elector.release()
    assert town.holder() == town.first.elector.identity


async def test_of_two_who_take_a_free_lease_one_fails() -> None:
    town = Town()
    await town.lead()
    town.pass_(16)
    third = Replica(town.server, "third")
    await third.elector.step()
    third.now += 16
    real, raced = town.server.merge, False

    async def beaten(*arguments: Any) -> dict[str, Any]:
        nonlocal raced
        if not raced:
            raced = True
            await third.elector.step()
        return await real(*arguments)

    town.server.merge = beaten  # type: ignore[method-assign]
    await town.second.elector.step()
    assert third.writes()
    assert not town.second.writes()


@pytest.mark.parametrize("at_first", [True, False])
async def test_an_answer_that_was_lost_after_the_write_makes_no_second_leader(at_first: bool) -> None:
    town = Town()
    if not at_first:
        await town.lead()
    else:
        await town.first.elector.step()
        town.pass_(10)
    town.server.answers_lost = 1
    await town.first.elector.step()
    await town.run(4, town.first, town.second)
    assert town.first.writes()
    assert town.holder() == town.first.elector.identity


async def test_somebody_who_labels_the_lease_takes_nothing_from_the_leader() -> None:
    town = Town()
    await town.lead()
    town.server.put(town.server.objects[LEASE])
    await town.run(5, town.first, town.second)
    assert town.first.writes()
