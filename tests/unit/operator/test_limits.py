"""Limits of namespaces: of several that are looked at at once, never more go than there are places."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kubetune_operator.cluster.limits import Limits
from kubetune_operator.observe import Observation, observe
from kubetune_operator.observe.timestamps import format_time
from kubetune_operator.plan import Plan, Refusal, parse, plan
from kubetune_operator.policy_file import PolicyFile
from unit.operator.builders import NOW, SETTINGS, conditions, job_manifest, launched, message, snapshot
from unit.operator.cluster_in_memory import InMemory

AT = "2026-11-24T12:00:00Z"
SUSPENDED = [
    {"type": "DataReady", "status": "True", "reason": "Prepared", "lastTransitionTime": AT},
    {"type": "Running", "status": "False", "reason": "Suspended", "lastTransitionTime": AT},
    {"type": "Progressing", "status": "False", "reason": "Suspended", "lastTransitionTime": AT},
]
OVER = [{"type": "Succeeded", "status": "True", "reason": "Completed", "lastTransitionTime": AT}]


class Cluster(InMemory):
    """Counts what is listed; a list may take its time after it was read."""

    def __init__(self) -> None:
        super().__init__()
        self.lists = 0
        self.held: asyncio.Event | None = None

    async def list(self, kind: str, namespace: str | None, **selectors: str) -> list[dict[str, Any]]:
        self.lists += kind == "FineTuneJob"
        found = await super().list(kind, namespace, **selectors)
        await (self.held.wait() if self.held is not None else asyncio.sleep(0))
        return found


class Team:
    """A namespace with limits and jobs."""

    def __init__(self, tmp_path: Path, **limit: int) -> None:
        path = tmp_path / "policy.yaml"
        path.write_text(f"limits: [{{namespaces: [team], {', '.join(f'{k}: {v}' for k, v in limit.items())}}}]")
        self.now = 100.0
        self.cluster = Cluster()
        self.limits = Limits(self.cluster, PolicyFile(str(path)), lambda: self.now)  # type: ignore[arg-type]

    def job(self, name: str, second: int = 0, status: dict[str, Any] | None = None, **spec: Any) -> None:
        manifest = job_manifest(status, **spec)
        created = {"name": name, "uid": f"uid-{name}", "creationTimestamp": f"2026-11-24T12:00:{second:02d}Z"}
        self.cluster.put(manifest | {"metadata": manifest["metadata"] | created})

    async def look(self, name: str) -> Plan:
        subject = parse(await self.cluster.get("FineTuneJob", "team", name))
        assert not isinstance(subject, Refusal)
        found = await self.limits.applied(subject, plan(subject, SETTINGS))
        assert isinstance(found, Plan)
        return found

    async def goes(self, *names: str) -> list[str]:
        """Look at jobs at once; return those that may go."""
        plans = await asyncio.gather(*(self.look(name) for name in names))
        return [name for name, found in zip(names, plans, strict=True) if found.waiting is None]


@pytest.mark.parametrize("names", [("a", "b", "c"), ("c", "b", "a"), ("b", "c", "a")])
async def test_of_three_that_are_looked_at_at_once_the_oldest_goes(tmp_path: Path, names: tuple[str, ...]) -> None:
    team = Team(tmp_path, concurrentRuns=1)
    for second, name in enumerate(("a", "b", "c")):
        team.job(name, second)
    assert await team.goes(*names) == ["a"]
    assert await team.goes(*names) == ["a"], "its status does not say yet that it was let go"


async def test_twins_of_one_second_are_told_apart_by_their_uid(tmp_path: Path) -> None:
    team = Team(tmp_path, concurrentRuns=1)
    for name in ("b", "a"):
        team.job(name)
    assert await team.goes("b", "a") == ["a"]


async def test_a_list_read_before_an_older_job_was_seen_lets_no_second_one_go(tmp_path: Path) -> None:
    team = Team(tmp_path, concurrentRuns=1)
    team.job("young", 9)
    team.cluster.held = asyncio.Event()
    first = asyncio.create_task(team.look("young"))
    await asyncio.sleep(0.01)
    team.job("old", 1)
    second = asyncio.create_task(team.look("old"))
    await asyncio.sleep(0.01)
    team.cluster.held.set()
    found = [await first, await second]
    assert [each.waiting is None for each in found] == [True, False]
    assert found[1].waiting is not None
    assert "by young" in found[1].waiting.message


async def test_a_job_that_a_kept_list_does_not_hold_still_counts_those_let_go(tmp_path: Path) -> None:
    team = Team(tmp_path, concurrentRuns=2)
    team.job("a", 0)
    assert await team.goes("a") == ["a"]
    team.job("b", 1)
    team.job("c", 2)
    assert await team.goes("c", "b") == ["b"]


async def test_a_hundred_that_wait_list_once_in_a_while(tmp_path: Path) -> None:
    team = Team(tmp_path, concurrentRuns=1)
    names = [f"job-{number:03d}" for number in range(100)]
    for name in names:
        team.job(name)
    assert await team.goes(*names) == ["job-000"]
    assert team.cluster.lists == 1
    team.now += 5
    assert await team.goes(*names) == ["job-000"]
    assert team.cluster.lists == 2


async def test_the_next_goes_when_the_first_is_over_or_deleted(tmp_path: Path) -> None:
    team = Team(tmp_path, concurrentRuns=1)
    for second, name in enumerate(("a", "b", "c")):
        team.job(name, second)
    assert await team.goes("a", "b", "c") == ["a"]
    team.job("a", 0, {"epoch": 1, "runs": 1})
    team.now += 5
    assert await team.goes("b", "c") == []
    team.job("a", 0, {"epoch": 1, "conditions": OVER, "completionTime": AT})
    team.now += 5
    assert await team.goes("c", "b") == ["b"]
    await team.cluster.delete("FineTuneJob", "team", "b")
    team.now += 5
    assert await team.goes("c") == ["c"]


async def test_a_resumed_job_waits_for_a_place_and_goes_on_as_a_run_of_its_own(tmp_path: Path) -> None:
    team = Team(tmp_path, concurrentRuns=1)
    team.job("a", 0, {"epoch": 1, "runs": 1, "conditions": SUSPENDED}, suspend=True)
    team.job("b", 1)
    assert await team.goes("b") == ["b"]
    team.job("b", 1, {"epoch": 1, "runs": 1})
    status: dict[str, Any] = {"epoch": 1, "runs": 1, "conditions": SUSPENDED}
    for _ in range(2):
        team.job("a", 0, status)
        waits = await seen(team, "a")
        assert launched(waits) is None
        assert conditions(waits)["Progressing"] == ("False", "NamespaceLimit")
        assert "by b" in message(waits, "Progressing")
        assert (waits.status.phase, waits.status.runs, waits.requeue_after) == ("Queued", 1, 15)
        status = waits.status.dump()
        team.now += 5
    await team.cluster.delete("FineTuneJob", "team", "b")
    team.job("a", 0, status)
    goes = await seen(team, "a")
    assert launched(goes) == ("train", 2, 3)
    assert goes.status.epoch == 2
    assert goes.must_be_first
    team.job("a", 0, goes.status.dump())
    team.job("c", 2)
    team.now += 5
    assert await team.goes("c") == []


async def seen(team: Team, name: str) -> Observation:
    subject = parse(await team.cluster.get("FineTuneJob", "team", name))
    assert not isinstance(subject, Refusal)
    decided = await team.limits.applied(subject, plan(subject, SETTINGS))
    base = snapshot(subject)  # type: ignore[arg-type]
    return observe(type(base)(subject, decided), NOW)


async def test_a_job_that_waits_says_so_and_is_looked_at_again(tmp_path: Path) -> None:
    team = Team(tmp_path, concurrentRuns=1)
    team.job("a", 0, {"epoch": 1, "runs": 1})
    team.job("b", 1)
    waits = await seen(team, "b")
    assert launched(waits) is None
    assert conditions(waits)["Progressing"] == ("False", "NamespaceLimit")
    assert conditions(waits)["Accepted"] == ("True", "Accepted")
    assert message(waits, "Progressing") == (
        "namespace team: 1 runs at a time are allowed (limits.concurrentRuns); "
        "taken or asked for before by a; it starts when one of them ends"
    )
    assert (waits.status.phase, waits.requeue_after) == ("Pending", 30)


async def test_hours_of_a_job_that_was_seen_and_deleted_still_count(tmp_path: Path) -> None:
    team, just_now = Team(tmp_path, acceleratorHours=1), format_time(datetime.now(UTC))
    team.job("a", 0, {"epoch": 1, "acceleratorSeconds": 3600, "conditions": OVER, "completionTime": just_now})
    team.job("b", 1)
    assert await team.goes("b") == []
    await team.cluster.delete("FineTuneJob", "team", "a")
    team.now += 5
    waits = await team.look("b")
    assert waits.waiting is not None
    assert "1 of 1 accelerator hours" in waits.waiting.message
