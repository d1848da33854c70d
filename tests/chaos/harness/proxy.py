"""A fault proxy between an operator and the API server: HTTP/1.1 on this side, the API server's own TLS on the other.

Only the operator's kubeconfig names it: kubelet, controllers and tests talk to the API server itself. It keeps a
journal of every write, forwarded or not, and can kill the operator just before or just after the n-th of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from chaos.harness.calls import Call, read_call
from chaos.harness.faults import (
    Answer,
    CutAnswer,
    Delay,
    Fault,
    Faults,
    Hang,
    LoseAnswer,
    LoseRequest,
    RefuseWatch,
)
from chaos.harness.streams import Stream, StreamLost, lines_of
from kubetune_local.kubeconfig import KubeConfig, load_kubeconfig, write_kubeconfig

_NOT_FORWARDED = {"host", "connection", "transfer-encoding", "content-length", "accept-encoding", "keep-alive"}
_NOT_RETURNED = {"connection", "transfer-encoding", "content-length", "content-encoding", "keep-alive"}


@dataclass
class Write:
    """One write that the operator asked for."""

    number: int
    """Counts from 1; 0 for what is no part of a job's life (Leases)."""
    call: Call
    at: float
    """On the monotonic clock, when the proxy had the whole request."""
    body: Any = None
    code: int | None = None
    """What the API server answered; None when it never had the request."""
    fault: str = ""
    answered: float | None = None
    version: int | None = None
    """resourceVersion of what was written: its place in the order of all writes."""

    @property
    def committed(self) -> bool:
        """Tell whether the API server took it."""
        return self.code is not None and self.code < 300

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.number:4} {self.call} -> {self.code}{' ' + self.fault if self.fault else ''}"


@dataclass(frozen=True)
class CrashPoint:
    """Kill the operator at its n-th write, counted from when the point was set."""

    number: int
    after: bool
    """After the API server has done it, and before the operator knows."""
    kill: Callable[[], None]


class FaultProxy:
    """Stands between one operator and the API server."""

    def __init__(self, upstream: Path, kubeconfig: Path, *, seed: int = 0, token: str | None = None) -> None:
        self.faults = Faults(seed)
        self.journal: list[Write] = []
        self.reads = 0
        self.watches_opened = 0
        self.kubeconfig = kubeconfig
        self.crash: CrashPoint | None = None
        self.crashed = 0
        """How many crash points were reached."""
        self.streams: set[Stream] = set()
        self._upstream: KubeConfig = load_kubeconfig(upstream)
        self._token = token or self._upstream.token
        self._numbered = 0
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.ServerRunner | None = None
        self._site: web.TCPSite | None = None
        self._transports: set[asyncio.Transport] = set()
        self.port = 0

    # Life.

    async def __aenter__(self) -> FaultProxy:
        tls = aiohttp.TCPConnector(limit=0, ssl=self._upstream.ssl_context or True)
        self._session = aiohttp.ClientSession(
            connector=tls, auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None, sock_connect=5)
        )
        self._runner = web.ServerRunner(
            web.Server(self._handle, access_log=None, handler_cancellation=True), shutdown_timeout=0.1
        )
        await self._runner.setup()
        await self.up()
        write_kubeconfig(self.kubeconfig, f"http://127.0.0.1:{self.port}", token=self._token)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.break_connections()
        if self._runner is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._runner.cleanup(), 5)
        if self._session is not None:
            await self._session.close()

    async def up(self) -> None:
        """Listen, on the port of before."""
        assert self._runner is not None
        if self._site is None:
            self._site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
            await self._site.start()
            self.port = self._site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]

    async def down(self) -> None:
        """Refuse new connections and break those that are open: an outage of the API server, for the operator."""
        if self._site is not None:
            site, self._site = self._site, None
            if site._server is not None:
                site._server.close()
            assert self._runner is not None
            self._runner._unreg_site(site)
        self.break_connections()

    def break_connections(self) -> None:
        """Break every connection that is open now."""
        for transport in list(self._transports):
            transport.abort()

    # What was written.

    @property
    def writes(self) -> list[Write]:
        """The writes of jobs' lives: all but Leases."""
        return [write for write in self.journal if write.number]

    def crash_at(self, number: int, *, after: bool, kill: Callable[[], None]) -> None:
        """Kill the operator at its n-th write from now, once."""
        self.crash = CrashPoint(self._numbered + number, after, kill)

    def _crashes(self, write: Write, *, after: bool) -> bool:
        point = self.crash
        if point is None or not write.number or write.number < point.number or point.after != after:
            return False
        self.crash, self.crashed = None, self.crashed + 1
        point.kill()
        write.fault = f"killed {'after' if after else 'before'}"
        return True

    # Serving.

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        if transport is not None:
            self._transports.add(transport)
        try:
            return await self._answer(request)
        except (ConnectionError, StreamLost, aiohttp.ClientError):
            if transport is not None:
                transport.abort()
            return web.Response(status=502)
        finally:
            if transport is not None:
                self._transports.discard(transport)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        call = read_call(request.method, request.path, request.query)
        write = self._note(call, body) if call.is_write else None
        if write is None:
            self.reads += 1
        else:
            call = write.call
        fault = self.faults.draw(call)
        if write is not None and fault is not None:
            write.fault = fault.name
        if write is not None and self._crashes(write, after=False):
            raise ConnectionAbortedError
        if (early := await self._instead(fault)) is not None:
            return early
        if call.verb == "watch":
            return await self._watch(request, call)
        forwarded = asyncio.ensure_future(self._forward(request, call, body, fault, write))
        # A client that dies takes its reads with it; what it wrote goes on to the API server, and into the journal.
        return await (forwarded if write is None else asyncio.shield(forwarded))

    def _note(self, call: Call, body: bytes) -> Write:
        if not call.is_lease:
            self._numbered += 1
        document = None
        with contextlib.suppress(ValueError):
            document = json.loads(body) if body else None
        if call.verb == "create" and isinstance(document, dict):
            call = replace(call, name=str(document.get("metadata", {}).get("name", "")))
        write = Write(0 if call.is_lease else self._numbered, call, time.monotonic(), document)
        self.journal.append(write)
        return write

    async def _instead(self, fault: Fault | None) -> web.Response | None:
        """Return an answer that is not the API server's; None when the request goes there."""
        if isinstance(fault, Answer):
            return _status(fault.code, fault.reason, fault.retry_after)
        if isinstance(fault, RefuseWatch):
            return _status(410, "Expired", None)
        if isinstance(fault, LoseRequest):
            raise ConnectionAbortedError
        if isinstance(fault, Hang):
            await asyncio.sleep(fault.seconds)
            raise ConnectionAbortedError
        if isinstance(fault, Delay):
            await asyncio.sleep(fault.seconds)
        return None

    def _ask(self, request: web.BaseRequest, body: bytes | None) -> Any:
        assert self._session is not None
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_FORWARDED}
        headers["Accept-Encoding"] = "identity"
        # `raw_path` keeps the escapes of the selectors as the client wrote them.
        url = aiohttp.client.URL(self._upstream.server + request.raw_path, encoded=True)
        return self._session.request(request.method, url, headers=headers, data=body or None, allow_redirects=False)

    async def _forward(
        self, request: web.BaseRequest, call: Call, body: bytes, fault: Fault | None, write: Write | None
    ) -> web.StreamResponse:
        async with self._ask(request, body) as upstream:
            data = await upstream.read()
            code, headers = upstream.status, _headers(upstream)
        if write is not None:
            write.code, write.answered, write.version = code, time.monotonic(), _version(code, data)
            if self._crashes(write, after=True):
                raise ConnectionAbortedError
        if isinstance(fault, LoseAnswer):
            raise ConnectionAbortedError
        if isinstance(fault, CutAnswer):
            await self._cut(request, code, headers, data)
        return web.Response(status=code, headers=headers, body=data)

    async def _cut(self, request: web.BaseRequest, code: int, headers: dict[str, str], data: bytes) -> None:
        half = web.StreamResponse(status=code, headers=headers)
        half.content_length = len(data)
        await half.prepare(request)
        await half.write(data[: len(data) // 2])
        raise ConnectionAbortedError

    async def _watch(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        self.watches_opened += 1
        async with self._ask(request, None) as upstream:
            answer = web.StreamResponse(status=upstream.status, headers=_headers(upstream))
            answer.enable_chunked_encoding()
            await answer.prepare(request)
            if upstream.status != 200:
                await answer.write(await upstream.read())
                return answer
            stream = Stream(call, self.faults, answer.write)
            self.streams.add(stream)
            try:
                await stream.run(lines_of(upstream.content.iter_any()))
            finally:
                self.streams.discard(stream)
            await answer.write_eof()
            return answer


def _headers(upstream: aiohttp.ClientResponse) -> dict[str, str]:
    return {name: value for name, value in upstream.headers.items() if name.lower() not in _NOT_RETURNED}


def _version(code: int, data: bytes) -> int | None:
    if code >= 300:
        return None
    try:
        return int(json.loads(data)["metadata"]["resourceVersion"])
    except (ValueError, KeyError, TypeError):
        return None


def _status(code: int, reason: str, retry_after: int | None) -> web.Response:
    body = {"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": code, "reason": reason}
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}
    return web.json_response({**body, "message": f"a fault: {reason}"}, status=code, headers=headers)
