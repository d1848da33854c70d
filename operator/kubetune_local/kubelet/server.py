"""The kubelet's own endpoint: `/containerLogs/NAMESPACE/POD/CONTAINER`, as API servers ask for it."""

from __future__ import annotations

import asyncio
import hmac
import logging
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from kubetune_local import timestamps

from .attempt import Attempt, attempts_in
from .logfile import Renderer, Selection, records
from .settings import Serving

log = logging.getLogger(__name__)

JSON = dict[str, Any]
FOLLOW_SECONDS = 0.1
CHUNK = 64 * 1024

Finder = Callable[[str, str], JSON | None]
"""(namespace, name) -> the pod on this node, or None."""


class Refused(ValueError):
    """The request cannot be answered; the message tells people why."""


def selection_of(query: Mapping[str, str], moment: datetime) -> Selection:
    """Read the query of a log request. Raises `Refused` for values that make no sense."""
    try:
        tail = int(query["tailLines"]) if query.get("tailLines") else None
        limit = int(query["limitBytes"]) if query.get("limitBytes") else None
        since = None
        if query.get("sinceSeconds"):
            since = moment - timedelta(seconds=int(query["sinceSeconds"]))
        elif query.get("sinceTime"):
            since = timestamps.parse(query["sinceTime"])
    except ValueError as error:
        raise Refused(f"the query of the log request is not valid: {error}") from error
    if (tail is not None and tail < 0) or (limit is not None and limit < 1):
        raise Refused("tailLines must not be negative, and limitBytes must be positive")
    return Selection(tail, since, _true(query.get("timestamps")), limit)


def _true(text: str | None) -> bool:
    return text is not None and text.lower() in ("true", "1", "")


class KubeletServer:
    """Serves on 127.0.0.1 over TLS."""

    def __init__(self, directory: Path, find: Finder, serving: Serving) -> None:
        self._directory = directory
        self._find = find
        self._serving = serving
        self._runner: web.AppRunner | None = None
        self._followers: set[asyncio.Task[Any]] = set()

    async def start(self, port: int = 0) -> int:
        """Begin to serve; returns the port."""
        app = web.Application(middlewares=[self._authorise])
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        app.router.add_get("/healthz", _healthy)
        app.router.add_route("*", "/{other:.*}", _unknown)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=self._context())
        await site.start()
        bound: int = self._runner.addresses[0][1]
        return bound

    async def stop(self) -> None:
        """End; logs that are being followed end too."""
        for follower in self._followers:
            follower.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._serving.certificate, self._serving.key)
        if self._serving.client_ca is not None:
            context.load_verify_locations(self._serving.client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    @web.middleware
    async def _authorise(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Let in who holds a client certificate (TLS has checked it) or the token."""
        certificate = request.transport.get_extra_info("peercert") if request.transport else None
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        token = self._serving.token
        if not certificate and not (token and hmac.compare_digest(given.encode(), token.encode())):
            return web.Response(status=401, text="Unauthorized")
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        try:
            selection = selection_of(request.query, datetime.now(UTC))
            attempt = self._attempt(request.match_info, previous=_true(request.query.get("previous")))
        except Refused as error:
            return web.Response(status=400, text=str(error))
        if attempt is None:
            return web.Response(status=404, text=f"pod {request.match_info['pod']} is not on this node")
        answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        task = asyncio.current_task()
        assert task is not None
        self._followers.add(task)
        reader = LogReader(attempt, selection)
        try:
            await self._copy(reader, answer, selection.limit, follow=_true(request.query.get("follow")))
            await answer.write_eof()
        except ConnectionError:
            log.debug("the reader of a log went away")
        finally:
            self._followers.discard(task)
            reader.close()
        return answer

    def _attempt(self, match: Mapping[str, str], *, previous: bool) -> Attempt | None:
        pod = self._find(match["namespace"], match["pod"])
        if pod is None:
            return None
        container, name = match["container"], match["pod"]
        declared = [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or [])]
        if container not in (each["name"] for each in declared):
            raise Refused(f'container "{container}" not found in pod "{name}"')
        attempts = attempts_in(self._directory / "pods" / pod["metadata"]["uid"] / "containers" / container)
        if previous:
            if len(attempts) < 2:
                raise Refused(f'previous terminated container "{container}" in pod "{name}" not found')
            return attempts[-2]
        if not attempts:
            raise Refused(f'container "{container}" in pod "{name}" is waiting to start: {_why(pod, container)}')
        return attempts[-1]

    async def _copy(self, reader: LogReader, answer: web.StreamResponse, limit: int | None, *, follow: bool) -> None:
        left = limit
        while True:
            over = not follow or not reader.growing()
            for piece in await asyncio.to_thread(reader.read):
                piece = piece if left is None else piece[:left]
                await answer.write(piece)
                if left is not None:
                    left -= len(piece)
                    if left <= 0:
                        return
            if over:
                return
            await asyncio.sleep(FOLLOW_SECONDS)


class LogReader:
    """Reads what is selected of a log, and then what is added to it."""

    def __init__(self, attempt: Attempt, selection: Selection) -> None:
        self._attempt = attempt
        self._selection = selection
        self._renderer = Renderer(timestamps=selection.timestamps)
        self._file: Any = None
        self._inode = 0

    def growing(self) -> bool:
        """Tell whether more may come."""
        return self._attempt.runs()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def read(self) -> list[bytes]:
        """Return the text since the last call, in pieces."""
        if self._file is None:
            if not self._attempt.log.exists():
                return []
            self._file = self._attempt.log.open("rb")
            self._inode = self._attempt.log.stat().st_ino
            end = self._file.seek(_start_of_line(self._file, self._file.seek(0, 2)))
            lines: Iterable[bytes] = records(self._attempt.log, self._selection, end)
        else:
            lines = self._added()
        return _joined(self._renderer.render(lines))

    def _added(self) -> list[bytes]:
        lines = _complete_lines(self._file)
        current = self._attempt.log
        if current.exists() and current.stat().st_ino != self._inode:  # the shim began a new file
            lines += _complete_lines(self._file)
            self._file.close()
            self._file, self._inode = current.open("rb"), current.stat().st_ino
            lines += _complete_lines(self._file)
        return lines


def _start_of_line(file: Any, end: int) -> int:
    """Return the offset after the last complete line."""
    start = max(0, end - CHUNK)
    file.seek(start)
    tail = file.read(end - start)
    return int(start + tail.rfind(b"\n") + 1)


def _complete_lines(file: Any) -> list[bytes]:
    at = file.tell()
    data: bytes = file.read()
    whole = data[: data.rfind(b"\n") + 1]
    file.seek(at + len(whole))
    return whole.splitlines(keepends=True)


def _joined(pieces: Iterator[bytes]) -> list[bytes]:
    joined, block, size = [], [], 0
    for piece in pieces:
        block.append(piece)
        size += len(piece)
        if size > CHUNK:
            joined.append(b"".join(block))
            block, size = [], 0
    return [*joined, b"".join(block)] if block else joined


def _why(pod: JSON, container: str) -> str:
    status = pod.get("status", {})
    for entry in [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]:
        if entry["name"] == container:
            return str(entry["state"].get("waiting", {}).get("reason", "ContainerCreating"))
    return "ContainerCreating"


async def _healthy(request: web.Request) -> web.Response:
    return web.Response(text="ok")


async def _unknown(request: web.Request) -> web.Response:
    what = request.path.split("/")[1]
    return web.Response(status=501, text=f"this kubelet runs pods as processes and does not serve /{what}")
