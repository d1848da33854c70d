"""Signs of life of the watches, and streams that break: read anew, and not the end of the operator."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from kubetune_operator import runtime, signs
from kubetune_operator.handlers import Listing, Seen
from kubetune_operator.signs import Signs

JOBS: Any = {"resource": SimpleNamespace(plural="jobs"), "namespace": None}
ADDED = {"type": "ADDED", "object": {"kind": "Job", "metadata": {"resourceVersion": "7"}}}
SEEN = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "7"}}}
"""What is left of an event for Kopf."""


async def streamed(monkeypatch: pytest.MonkeyPatch, heard: Signs, *events: Any) -> tuple[list[Any], list[Any]]:
    """Return what Kopf gets of a stream, and what is taken; an exception among the events is raised there."""
    taken: list[Any] = []

    async def stream(**_: Any) -> AsyncIterator[Any]:
        for event in events:
            if isinstance(event, BaseException):
                raise event
            yield event

    async def at_once(*_: Any) -> None:
        pass

    original = signs.streams.watch_objs
    monkeypatch.setattr(signs, "_watch_objs", stream)
    monkeypatch.setattr(signs, "_pause", at_once)
    monkeypatch.setattr(signs.streams, "watch_objs", original)
    monkeypatch.setattr(signs.streams.fetching, "fetch_objs", signs._fetch_objs)
    signs.listen(heard, taken.append)
    return [event async for event in signs.streams.watch_objs(**JOBS)], taken


async def test_events_pass_and_are_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Signs()
    assert heard.ages() == {}
    left, taken = await streamed(monkeypatch, heard, ADDED, ADDED)
    assert left == [SEEN, SEEN]
    assert taken == [Seen("ADDED", "Job", ADDED["object"])] * 2
    assert heard.ages()["jobs"] < 1


@pytest.mark.parametrize(
    "trouble",
    [
        {"type": "ERROR", "object": {"code": 500, "message": "etcdserver: leader changed"}},
        {"type": "ERROR", "object": {}},
        json.JSONDecodeError("Unterminated string", '{"type": "ADD', 9),
    ],
)
async def test_whatever_breaks_a_stream_has_kopf_list_anew(monkeypatch: pytest.MonkeyPatch, trouble: Any) -> None:
    events, taken = await streamed(monkeypatch, Signs(), ADDED, trouble, ADDED)
    assert len(taken) == 1
    assert events == [SEEN, {"type": "ERROR", "object": {"code": 410}}]


async def test_a_list_is_taken_as_a_whole_and_kopf_gets_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    pages: Any = [[{"kind": "Job", "metadata": {"uid": uid}}] for uid in "ab"]

    async def fetch(**_: Any) -> AsyncIterator[Any]:
        for page in pages:
            yield page, "9"

    taken: list[Any] = []
    original = signs.streams.fetching.fetch_objs
    monkeypatch.setattr(signs, "_fetch_objs", fetch)
    monkeypatch.setattr(signs.streams.fetching, "fetch_objs", original)
    monkeypatch.setattr(signs.streams, "watch_objs", signs.streams.watch_objs)
    signs.listen(Signs(), taken.append)
    jobs: Any = {"resource": SimpleNamespace(plural="jobs", kind="Job"), "namespace": "team"}
    assert [each async for each in signs.streams.fetching.fetch_objs(**jobs)] == [([], "9"), ([], "9")]
    seen = [Seen("ADDED", "Job", page[0]) for page in pages]
    assert taken == [Listing("Job", "team"), *seen, Listing("Job", "team", ["a", "b"], "9")]


async def test_a_watch_that_breaks_again_and_again_waits_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    troubles: dict[str, tuple[int, float]] = {}
    for _ in range(8):
        await signs._pause("jobs", troubles)
    assert waited[0] <= 0.25
    assert 4 <= waited[-1] <= 8


def test_the_most_silent_watch_of_several_namespaces_counts() -> None:
    heard = Signs()
    heard._heard = {("jobs", "a"): time.monotonic() - 100, ("jobs", "b"): time.monotonic()}
    assert 100 <= heard.oldest_seconds() < 110
    assert 100 <= heard.ages()["jobs"] < 110


async def test_a_silent_watch_has_the_cluster_read_and_the_watches_started_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime, "_CARE_SECONDS", 0.01)
    done: list[str] = []
    watcher: Any = SimpleNamespace(
        signs=SimpleNamespace(oldest_seconds=lambda: runtime.SILENT_AFTER + 1), restart=lambda: done.append("restart")
    )
    parts: Any = SimpleNamespace(
        client=SimpleNamespace(answered_seconds_ago=lambda: 1.0),
        resync=SimpleNamespace(soon=lambda: done.append("read")),
    )
    task = asyncio.create_task(runtime._care(watcher, parts))
    async with asyncio.timeout(5):
        while not done:  # noqa: ASYNC110 - it sets no event
            await asyncio.sleep(0.01)
    task.cancel()
    assert done == ["read", "restart"]
