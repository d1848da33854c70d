"""The server over HTTP: who is let in, what is understood, how refusals and streams look."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kubetune_local.apiserver.server import ApiServer

Obj = dict[str, Any]
MAPS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    running = ApiServer(token="secret")
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def http(server: ApiServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url, headers={"Authorization": "Bearer secret"}) as session:
        yield session


async def call(http: aiohttp.ClientSession, method: str, path: str, **options: Any) -> tuple[int, Obj]:
    async with http.request(method, path, **options) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_refuses_whoever_has_no_token(server: ApiServer) -> None:
    async with aiohttp.ClientSession(server.url) as stranger:
        assert (await call(stranger, "GET", MAPS))[1]["reason"] == "Unauthorized"
        assert (await call(stranger, "GET", "/version"))[1]["major"] == "1"


@pytest.mark.parametrize(
    ("method", "path", "headers", "code", "message"),
    [
        ("GET", f"{MAPS}/x", {}, 404, 'configmaps "x" not found'),
        ("GET", "/api/v1/nonsense", {}, 404, "the server could not find the requested resource"),
        ("PUT", MAPS, {}, 405, "the server does not allow this method on the requested resource"),
        ("GET", MAPS, {"Accept": "text/csv"}, 406, "406: Not Acceptable"),
        ("POST", MAPS, {"Content-Type": "text/csv"}, 415, "the body of the request was in an unknown format"),
        ("POST", MAPS, {"Content-Type": "application/json"}, 400, "error decoding the body as JSON"),
    ],
)
async def test_tells_what_it_cannot_do(
    http: aiohttp.ClientSession, method: str, path: str, headers: dict[str, str], code: int, message: str
) -> None:
    data = b"{" if method == "POST" else None
    status, body = await call(http, method, path, headers=headers, data=data)
    assert (status, body["code"], body["kind"]) == (code, code, "Status")
    assert body["message"].startswith(message)


async def test_reads_yaml_warns_of_unknown_fields_and_prints_tables(http: aiohttp.ClientSession) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm}\nextra: 1\n"
    async with http.post(MAPS, data=text, headers={"Content-Type": "application/yaml"}) as answer:
        assert answer.status == 201
        assert answer.headers["Warning"] == '299 - "unknown field \\"extra\\""'
    _, table = await call(http, "GET", MAPS, headers={"Accept": TABLE})
    assert (table["kind"], [row["cells"][0] for row in table["rows"]]) == ("Table", ["cm"])


async def test_streams_a_watch_until_its_time_is_over(http: aiohttp.ClientSession) -> None:
    await call(http, "POST", MAPS, json={"metadata": {"name": "cm"}})
    async with http.get(MAPS, params={"watch": "1", "timeoutSeconds": "1"}) as answer:
        events = [json.loads(line) async for line in answer.content]
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in events] == [("ADDED", "cm")]


async def test_both_groups_show_the_same_event(http: aiohttp.ClientSession) -> None:
    about = {"kind": "ConfigMap", "namespace": "default", "name": "cm"}
    event = {"metadata": {"name": "e"}, "involvedObject": about, "reason": "Seen", "message": "hello"}
    assert (await call(http, "POST", "/api/v1/namespaces/default/events", json=event))[0] == 201
    _, shown = await call(http, "GET", "/apis/events.k8s.io/v1/namespaces/default/events/e")
    assert (shown["note"], shown["regarding"]["name"], shown["apiVersion"]) == ("hello", "cm", "events.k8s.io/v1")


async def test_logs_of_a_pod_without_a_node_are_empty_and_a_wrong_container_is_named(
    http: aiohttp.ClientSession,
) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    await call(http, "POST", "/api/v1/namespaces/default/pods", json=pod)
    async with http.get("/api/v1/namespaces/default/pods/p/log") as answer:
        assert (answer.status, await answer.text()) == (200, "")
    _, refusal = await call(http, "GET", "/api/v1/namespaces/default/pods/p/log?container=x")
    assert refusal["message"] == "container x is not valid for pod p"


async def test_objects_and_definitions_survive_a_restart(tmp_path: Path) -> None:
    for turn in range(2):
        server = ApiServer(tmp_path / "data.sqlite", token="secret")
        await server.start()
        async with aiohttp.ClientSession(server.url, headers={"Authorization": "Bearer secret"}) as http:
            if not turn:
                await call(http, "POST", MAPS, json={"metadata": {"name": "cm"}})
            assert (await call(http, "GET", f"{MAPS}/cm"))[0] == 200
        await server.stop()


async def test_everything_is_allowed(http: aiohttp.ClientSession) -> None:
    body = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    _, review = await call(http, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json=body)
    assert review["status"]["allowed"] is True
