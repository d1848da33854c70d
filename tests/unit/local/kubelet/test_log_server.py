"""The kubelet's endpoint for logs, as API servers ask it."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kubetune_local.kubelet.attempt import Attempt, Orders
from kubetune_local.kubelet.server import KubeletServer
from kubetune_local.kubelet.settings import Serving
from kubetune_local.launch.pki import Pki
from unit.local.kubelet.builders import UID, pod, shell

TOKEN = {"Authorization": "Bearer secret"}
PODS: dict[tuple[str, str], dict[str, Any]] = {("default", "p"): pod(shell("true"), shell("true", name="late"))}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def base(tmp_path: Path, pki: Pki) -> AsyncIterator[str]:
    """Address of a running endpoint."""
    pair = pki.server("kubelet")
    serving = Serving(pair.certificate, pair.key, client_ca=pki.ca.certificate, token="secret")
    server = KubeletServer(tmp_path, lambda namespace, name: PODS.get((namespace, name)), serving)
    port = await server.start()
    yield f"https://127.0.0.1:{port}"
    await server.stop()


def trusting(pki: Pki, user: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(pki.ca.certificate))
    if user is not None:
        pair = pki.client(user, user, "system:masters")
        context.load_cert_chain(pair.certificate, pair.key)
    return context


async def ask(url: str, pki: Pki, user: str | None = None, **headers: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url, ssl=trusting(pki, user), headers=headers) as answer:
        return answer.status, await answer.text()


async def begin(tmp_path: Path, script: str, number: int = 0) -> Attempt:
    (tmp_path / "alive").touch()
    attempt = Attempt(tmp_path / "pods" / UID / "containers" / "c" / str(number), number)
    await attempt.start(Orders(["sh", "-c", script], {"PATH": "/usr/bin:/bin"}, str(tmp_path)), tmp_path / "alive")
    return attempt


async def test_only_holders_of_a_certificate_or_the_token_may_read(base: str, pki: Pki, tmp_path: Path) -> None:
    await (await begin(tmp_path, "echo hello")).wait()
    url = f"{base}/containerLogs/default/p/c"
    assert await ask(url, pki) == (401, "Unauthorized")
    assert await ask(url, pki, Authorization="Bearer wrong") == (401, "Unauthorized")
    assert await ask(url, pki, **TOKEN) == (200, "hello\n")
    assert await ask(url, pki, user="api-server") == (200, "hello\n")


async def test_a_certificate_of_somebody_else_is_refused(base: str, pki: Pki, tmp_path: Path) -> None:
    stranger = Pki(tmp_path / "stranger").client("x", "x", "system:masters")
    context = trusting(pki)
    context.load_cert_chain(stranger.certificate, stranger.key)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"{base}/healthz", ssl=context, headers=TOKEN)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("tailLines=1", "three\n"),
        ("limitBytes=5", "one\nt"),
        ("sinceTime=2000-01-01T00:00:00Z", "one\ntwo\nthree\n"),
        ("sinceSeconds=3600&tailLines=2", "two\nthree\n"),
        ("sinceTime=2999-01-01T00:00:00Z", ""),
    ],
)
async def test_sends_the_part_that_was_asked_for(
    base: str, pki: Pki, tmp_path: Path, query: str, expected: str
) -> None:
    await (await begin(tmp_path, "echo one; echo two; echo three")).wait()
    assert await ask(f"{base}/containerLogs/default/p/c?{query}", pki, **TOKEN) == (200, expected)


async def test_follows_a_log_to_the_end_of_its_container(base: str, pki: Pki, tmp_path: Path) -> None:
    attempt = await begin(tmp_path, "for i in 1 2 3 4 5; do echo line $i; sleep 0.1; done; printf end")
    status, text = await ask(f"{base}/containerLogs/default/p/c?follow=true", pki, **TOKEN)
    assert (status, text) == (200, "line 1\nline 2\nline 3\nline 4\nline 5\nend")
    assert (await attempt.wait()).code == 0


async def test_the_log_of_the_attempt_before_can_be_read(base: str, pki: Pki, tmp_path: Path) -> None:
    url = f"{base}/containerLogs/default/p/c?previous=true"
    await (await begin(tmp_path, "echo first")).wait()
    status, text = await ask(url, pki, **TOKEN)
    assert (status, text) == (400, 'previous terminated container "c" in pod "p" not found')
    await (await begin(tmp_path, "echo second", 1)).wait()
    assert await ask(url, pki, **TOKEN) == (200, "first\n")


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/containerLogs/default/p/x", 400, 'container "x" not found in pod "p"'),
        ("/containerLogs/default/p/late", 400, 'container "late" in pod "p" is waiting to start: ContainerCreating'),
        ("/containerLogs/default/gone/c", 404, "pod gone is not on this node"),
        ("/containerLogs/default/p/c?tailLines=x", 400, "the query of the log request is not valid"),
        ("/exec/default/p/c", 501, "this kubelet runs pods as processes and does not serve /exec"),
    ],
)
async def test_says_what_it_cannot_answer(base: str, pki: Pki, path: str, status: int, message: str) -> None:
    code, text = await ask(base + path, pki, **TOKEN)
    assert code == status
    assert message in text


async def test_followers_do_not_hold_up_the_end_of_the_kubelet(tmp_path: Path, pki: Pki) -> None:
    attempt = await begin(tmp_path, "echo ready; sleep 60")
    pair = pki.server("kubelet")
    server = KubeletServer(
        tmp_path, lambda namespace, name: PODS["default", "p"], Serving(pair.certificate, pair.key, token="secret")
    )
    url = f"https://127.0.0.1:{await server.start()}/containerLogs/default/p/c?follow=true"
    async with aiohttp.ClientSession() as session, session.get(url, ssl=trusting(pki), headers=TOKEN) as answer:
        assert await answer.content.readline() == b"ready\n"
        await asyncio.wait_for(server.stop(), 5)
    attempt.kill()
    await attempt.wait()
