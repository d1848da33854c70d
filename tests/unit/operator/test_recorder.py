"""Kubernetes events: few, about the object, and never in the way."""

from typing import Any

from kubetune_operator.cluster.keys import Key
from kubetune_operator.cluster.recorder import Recorder
from kubetune_operator.errors import ApiUnreachable
from kubetune_operator.observe import Notice
from unit.operator.builders import UID, job_manifest
from unit.operator.cluster_in_memory import InMemory

KEY = Key("FineTuneJob", "team", "bot")


async def recorded(*notices: Notice, cluster: Any = None) -> list[dict[str, Any]]:
    cluster = cluster or InMemory()
    await Recorder(cluster).record(KEY, job_manifest(), notices)
    return list(cluster.of("Event"))


async def test_an_event_is_about_the_object_and_says_what_is_to_be_done() -> None:
    (event,) = await recorded(Notice("Warning", "Unschedulable", "add a node"))
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "Unschedulable", "add a node")
    assert event["involvedObject"]["uid"] == UID
    assert event["metadata"]["namespace"] == "team"


async def test_the_same_reason_is_told_once_in_a_while() -> None:
    assert len(await recorded(*[Notice("Normal", "Training", str(number)) for number in range(5)])) == 1


async def test_an_object_that_flaps_is_not_told_of_without_end() -> None:
    assert len(await recorded(*[Notice("Normal", f"Reason{number}", "") for number in range(50)])) == 10


async def test_an_event_that_cannot_be_made_is_no_error() -> None:
    class Silent(InMemory):
        async def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
            raise ApiUnreachable("no answer")

    assert await recorded(Notice("Normal", "Training", ""), cluster=Silent()) == []


async def test_an_event_whose_answer_was_lost_is_made_once() -> None:
    class Lossy(InMemory):
        lost = 0

        async def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
            made = await super().create(manifest)
            self.lost += 1
            if self.lost == 1:
                raise ApiUnreachable("the answer was lost")
            return made

    assert len(await recorded(Notice("Normal", "Training", ""), cluster=Lossy())) == 1
