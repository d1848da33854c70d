"""The client against a server of HTTP: the fence in the write path, credentials that change, and the pace of writes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kubetune_operator.cluster.client import Client, connect
from kubetune_operator.cluster.gate import Gate
from kubetune_operator.cluster.pace import Pace
from kubetune_operator.errors import ApiError, ApiUnreachable, NotLeader

JOB = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job", "namespace": "team"}}
LEASE = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l", "namespace": "team"}}
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: one
contexts: [{{name: one, context: {{cluster: one, user: one}}}}]
clusters: [{{name: one, cluster: {{server: "{server}"}}}}]
users: [{{name: one, user: {{token: {token}}}}}]
"""


class Api:
    """An API server that notes what reaches it, and takes one token."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.seen: list[str] = []
        self.token = "first"
        self.delay = 0.0
        self.url = ""

    def write(self, token: str) -> None:
        """Write a kubeconfig with a token."""
        self.kubeconfig.write_text(KUBECONFIG.format(server=self.url, token=token))

    async def handle(self, request: web.Request) -> web.Response:
        await request.read()
        self.seen.append(request.method)
        await asyncio.sleep(self.delay)
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"reason": "Unauthorized", "message": "no"}, status=401)
        return web.json_response({"metadata": {"name": "made", "resourceVersion": "1"}, "items": []})


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    made = Api(tmp_path / "kubeconfig")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = "http://{}:{}".format(*runner.addresses[0][:2])
    made.write("first")
    monkeypatch.setenv("KUBECONFIG", str(made.kubeconfig))
    yield made
    await runner.cleanup()


@pytest.fixture
async def connected(api: Api) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    made: list[Client] = []

    async def connected_with(**arguments: Any) -> Client:
        made.append(await connect(**arguments))
        return made[-1]

    yield connected_with
    for client in made:
        await client.close()


class Clock:
    """A clock that says the next of several times, and the last of them from then on."""

    def __init__(self, *times: float) -> None:
        self.times = list(times)

    def __call__(self) -> float:
        return self.times.pop(0) if len(self.times) > 1 else self.times[0]


async def test_who_does_not_lead_reads_and_renews_but_writes_nothing(api: Api, connected: Any) -> None:
    client = await connected(gate=Gate())
    for write in (
        client.create(JOB),
        client.merge("Job", "team", "job", {}),
        client.delete("Job", "team", "job"),
    ):
        with pytest.raises(NotLeader):
            await write
    assert api.seen == []
    await client.list("Job", "team")
    await client.create(LEASE)
    assert api.seen == ["GET", "POST"]


@pytest.mark.parametrize("asked_before", [1, 2, 3])
async def test_a_write_that_was_frozen_on_its_way_is_not_sent(api: Api, connected: Any, asked_before: int) -> None:
    """However often the gate has been found open: it is asked for the last time when the connection is there."""
    clock = Clock(*[0.0] * asked_before, 60.0)
    gate = Gate(clock)
    gate.open(10)
    client = await connected(gate=gate)
    with pytest.raises((NotLeader, ApiUnreachable)):
        await client.create(JOB)
    assert api.seen == []


async def test_the_connection_can_be_used_again_after_a_write_was_held_back(api: Api, connected: Any) -> None:
    gate = Gate(Clock(*[0.0] * 3, 60.0))
    gate.open(10)
    client = await connected(gate=gate)
    for _ in range(200):  # more than there are connections
        with pytest.raises((NotLeader, ApiUnreachable)):
            await client.create(JOB)
    gate.open()
    await client.create(JOB)
    assert api.seen == ["POST"]


async def test_a_write_is_given_up_when_the_gate_shuts(api: Api, connected: Any) -> None:
    gate = Gate(lambda: 0.0)
    gate.open(0.2)
    client = await connected(gate=gate)
    api.delay = 5
    async with asyncio.timeout(2):
        with pytest.raises(ApiUnreachable):
            await client.create(JOB)


async def test_a_token_that_was_replaced_is_read_again(
    api: Api, connected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubetune_operator.cluster.client._LOG_IN_SECONDS", 0.0)
    client = await connected()
    await client.create(JOB)
    api.token = "second"
    api.write("second")
    await client.create(JOB)
    assert api.seen == ["POST"] * 3
    api.token = "third"
    with pytest.raises(ApiError) as refused:
        await client.create(JOB)
    assert refused.value.code == 401


async def test_writes_wait_for_their_turn_and_reads_do_not(api: Api, connected: Any) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    client = await connected(pace=Pace(rate=10, burst=2, clock=lambda: 0.0, sleep=sleep))
    for _ in range(4):
        await client.create(JOB)
        await client.list("Job", "team")
    assert waited == pytest.approx([0.1, 0.2])


async def test_tokens_come_back_with_time_and_no_more_than_the_burst() -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    pace = Pace(rate=10, burst=2, clock=Clock(0.0, 0.0, 0.0, 100.0, 100.0, 100.0), sleep=sleep)
    for _ in range(5):
        await pace.take()
    assert waited == pytest.approx([0.1])
