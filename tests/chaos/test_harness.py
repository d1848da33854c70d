"""The proof proven: oracles find what they are for, faults are drawn by seed, streams are spoiled as told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chaos.harness.calls import chance, read_call
from chaos.harness.faults import Answer, Faults, StreamFaults
from chaos.harness.history import History, Revision
from chaos.harness.oracles import broken, differences, duplicate_jobs, normal
from chaos.harness.streams import Stream, StreamLost, lines_of
from kubetune_api import names

pytestmark = pytest.mark.quick
JSON = dict[str, Any]


def past(*steps: tuple[str, str, str, JSON]) -> History:
    """Return a history of (event, kind, uid, object)."""
    made = History(None)  # type: ignore[arg-type]
    for version, (event, kind, uid, obj) in enumerate(steps, start=1):
        meta = {"uid": uid, "namespace": "n", "resourceVersion": str(version), "name": uid, **obj.pop("metadata", {})}
        made.revisions.append(Revision(float(version), event, kind, {"metadata": meta, **obj}))
    return made


def pod(phase: str) -> JSON:
    """Return a training pod of one run."""
    labels = {names.LABEL_OWNER_UID: "owner", names.LABEL_STAGE: "train"}
    return {"metadata": {"labels": labels}, "status": {"phase": phase}}


def run(status: str, message: str = "") -> JSON:
    """Return a run that has ended, or not yet."""
    return {"status": {"conditions": [{"type": "Succeeded", "status": status, "reason": "R", "message": message}]}}


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    history = past(
        ("ADDED", "Job", "a", {}),
        ("ADDED", "Pod", "p1", pod("Running")),
        ("MODIFIED", "Pod", "p1", pod("Failed")),
        ("ADDED", "Pod", "p2", pod("Running")),
        ("MODIFIED", "Pod", "p2", pod("Succeeded")),
        ("ADDED", "FineTuneJob", "f", run("Unknown")),
        ("MODIFIED", "FineTuneJob", "f", run("True")),
        ("MODIFIED", "FineTuneJob", "f", run("True")),
    )
    assert broken(history) == []


def test_a_job_that_was_made_twice_is_found() -> None:
    twice = past(*(("ADDED", "Job", uid, {"metadata": {"name": "same"}}) for uid in "ab"))
    assert duplicate_jobs(twice) == ["Job n/same was made 2 times"]


def test_an_end_that_was_written_anew_is_found() -> None:
    history = past(
        ("ADDED", "FineTuneJob", "f", run("True", "well")), ("MODIFIED", "FineTuneJob", "f", run("False", "badly"))
    )
    assert len(broken(history)) == 1
    assert "changed after its end" in broken(history)[0]


def test_a_pod_after_a_success_is_found() -> None:
    history = past(("ADDED", "Pod", "p1", pod("Succeeded")), ("ADDED", "Pod", "p2", pod("Pending")))
    assert broken(history) == ["pod p2 was made after p1 had succeeded"]


def test_two_pods_at_the_same_time_are_found() -> None:
    history = past(("ADDED", "Pod", "p1", pod("Running")), ("ADDED", "Pod", "p2", pod("Running")))
    assert broken(history) == ["pods p1, p2 ran at the same time"]


def test_equal_runs_are_equal_and_unequal_ones_are_not() -> None:
    first = {"name": "job-train-0a1b2c3d", "at": "2026-01-01T00:00:00Z", "exitCode": 0, "list": [{"a": 1}]}
    second = {**first, "name": "job-train-9f8e7d6c", "at": "2026-01-01T00:00:09Z"}
    assert differences(normal(first), normal(second)) == []
    assert differences(normal(first), normal({**second, "exitCode": 70})) == ["exitCode: 0 without faults, 70 here"]
    assert len(differences(normal(first), normal({**second, "list": []}))) == 1


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("POST", "/apis/batch/v1/namespaces/n/jobs", "create jobs n"),
        ("PATCH", "/apis/kubetune.io/v1alpha1/namespaces/n/evalruns/e/status", "patch evalruns/status n/e"),
        ("GET", "/api/v1/namespaces/n/pods/p/log", "log pods/log n/p"),
        ("GET", "/api/v1/nodes", "list nodes"),
        ("GET", "/api/v1/namespaces/n", "get namespaces /n"),
        ("GET", "/apis/batch/v1", "discover /apis/batch/v1"),
    ],
)
def test_a_call_is_read(method: str, path: str, told: str) -> None:
    assert str(read_call(method, path, {})) == told


def test_the_same_seed_gives_the_same_faults() -> None:
    call = read_call("GET", "/api/v1/nodes", {})

    def drawn(seed: int) -> list[bool]:
        faults = Faults(seed)
        faults.add(Answer(500, "InternalError"), lambda call: True, probability=0.3)
        return [faults.draw(call) is not None for _ in range(200)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert 30 <= sum(drawn(1)) <= 90
    assert 0 <= chance("a") < 1


async def spoiled(streams: StreamFaults, count: int = 100) -> list[str]:
    """Return the names of the events that come through."""
    seen: list[str] = []

    async def send(text: bytes) -> None:
        seen.extend(json.loads(line)["object"]["metadata"]["name"] for line in text.splitlines())

    async def chunks() -> AsyncIterator[bytes]:
        for number in range(count):
            meta = {"name": str(number), "resourceVersion": str(number)}
            text = json.dumps({"type": "ADDED", "object": {"metadata": meta}}).encode() + b"\n"
            yield text[:20]
            yield text[20:]

    call = read_call("GET", "/api/v1/pods", {"watch": "true"})
    await Stream(call, Faults(3, streams=streams), send).run(lines_of(chunks()))
    return seen


async def test_events_are_dropped_repeated_and_out_of_order() -> None:
    whole = [str(number) for number in range(100)]
    assert await spoiled(StreamFaults()) == whole
    assert 50 <= len(await spoiled(StreamFaults(drop=0.3))) <= 90
    assert len(await spoiled(StreamFaults(duplicate=0.5, copies=5))) > 200
    mixed = await spoiled(StreamFaults(reorder=0.3))
    assert mixed != whole
    assert sorted(mixed, key=int)[:99] == whole[:99]


async def test_a_cut_stream_ends_in_the_middle_of_an_event() -> None:
    seen: list[bytes] = []

    async def send(text: bytes) -> None:
        seen.append(text)

    async def silence() -> AsyncIterator[bytes]:

        await asyncio.Event().wait()
        yield b""

    stream = Stream(read_call("GET", "/api/v1/pods", {"watch": "true"}), Faults(), send)
    stream.cut()
    with pytest.raises(StreamLost):
        await stream.run(silence())
    assert not seen[0].endswith(b"\n")
