"""/metrics, /healthz and /readyz."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientSession, web

from kubetune_operator import watching
from kubetune_operator.handlers import Trigger
from kubetune_operator.runtime import WEDGED_AFTER, alive
from kubetune_operator.telemetry.metrics import Metrics
from kubetune_operator.telemetry.server import application
from kubetune_operator.watching import Watcher
from unit.operator.builders import SETTINGS


def health(
    stalled: float = 0, down_for: float | None = None, stuck: float = 0, silent: float = 0, answered: float = 0
) -> str | None:
    since = None if down_for is None else time.monotonic() - down_for
    signs = SimpleNamespace(oldest_seconds=lambda: silent, stuck_seconds=lambda: stuck)
    parts: Any = SimpleNamespace(
        queue=SimpleNamespace(stalled_seconds=lambda: stalled),
        watcher=SimpleNamespace(down_since=since, signs=signs),
        client=SimpleNamespace(answered_seconds_ago=lambda: answered),
        store=SimpleNamespace(was_complete=True),
    )
    return alive(parts)


def test_alive_while_the_queue_moves_and_the_watches_run() -> None:
    assert health(0, None) is None
    assert health(WEDGED_AFTER - 1, 10) is None


def test_a_standstill_and_watches_that_stay_down_are_told() -> None:
    assert health(WEDGED_AFTER + 1, None) == "nothing has moved for 151 s"
    assert health(0, WEDGED_AFTER + 1) == "the watches are down"


def test_a_loop_that_no_longer_turns_is_told() -> None:
    assert health(stuck=WEDGED_AFTER - 1) is None
    assert health(stuck=WEDGED_AFTER + 1) == "the loop of the watches has not turned for 151 s"


def test_a_silent_watch_is_told_only_while_the_api_server_answers() -> None:
    assert health(silent=WEDGED_AFTER + 1, answered=2) == "a watch has been silent for 151 s"
    assert health(silent=WEDGED_AFTER + 1, answered=WEDGED_AFTER) is None
    assert health(silent=WEDGED_AFTER - 1, answered=2) is None


class Flapping(Watcher):
    """Watches that end at once, `ends` times, and stay up from then on."""

    def __init__(self, ends: int) -> None:
        metrics = Metrics()
        client: Any = None
        super().__init__(SETTINGS, client, Trigger(lambda key, look=False, first=False: None, metrics), metrics)
        self.ends = ends

    async def _watch(self) -> BaseException | None:
        self.ends -= 1
        if self.ends < 0:
            await asyncio.Event().wait()
        return ConnectionError("cut")


async def test_watches_that_end_again_and_again_are_down_until_they_stay_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("_FIRST_PAUSE", 0.01), ("_LAST_PAUSE", 0.01), ("_STABLE_AFTER", 0.2)):
        monkeypatch.setattr(watching, name, seconds)
    watcher = Flapping(3)
    since = watcher.down_since
    task = asyncio.create_task(watcher.run())
    try:
        async with asyncio.timeout(5):
            while watcher.ends >= 0:
                assert watcher.down_since == since
                await asyncio.sleep(0.005)
            while watcher.down_since is not None:  # noqa: ASYNC110 - the watcher sets no event
                await asyncio.sleep(0.005)
    finally:
        task.cancel()


@pytest.mark.parametrize(("path", "problem", "status"), [("/healthz", "wedged", 503), ("/readyz", None, 200)])
async def test_a_problem_is_an_unavailable_page_that_says_it(path: str, problem: str | None, status: int) -> None:
    refreshed: list[bool] = []
    app = application(Metrics(), lambda: refreshed.append(True), lambda: problem, lambda: problem)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with ClientSession(f"http://{host}:{port}") as session:
            async with session.get(path) as answer:
                assert (answer.status, await answer.text()) == (status, problem or "ok")
            async with session.get("/metrics") as answer:
                assert "kubetune_queue_oldest_seconds" in await answer.text()
        assert refreshed == [True]
    finally:
        await runner.cleanup()
