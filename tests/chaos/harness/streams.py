"""Watch streams as the proxy passes them on: late, twice, in another order, cut, silent, or with an error in them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from chaos.harness.calls import Call
from chaos.harness.faults import Faults

Send = Callable[[bytes], Awaitable[None]]


class StreamLost(Exception):
    """The connection of this stream is to break now."""


class Stream:
    """One open watch. What a scenario does to it happens at the next moment, not at the next event."""

    def __init__(self, call: Call, faults: Faults, send: Send) -> None:
        self.call = call
        self._faults = faults
        self._send = send
        self._held: bytes | None = None
        self._seen = 0
        self._silent = False
        self._orders: asyncio.Queue[bytes | None] = asyncio.Queue()

    @property
    def speaks(self) -> bool:
        """Tell whether it passes events on."""
        return not self._silent

    def silence(self) -> None:
        """Pass nothing on any more, and keep the connection open."""
        self._silent = True

    def cut(self) -> None:
        """Break the connection in the middle of an event."""
        self._orders.put_nowait(b'{"type":"MODIFIED","object":{"apiVersion":"v1","metadata":{"na')
        self._orders.put_nowait(None)

    def end(self) -> None:
        """Break the connection between two events."""
        self._orders.put_nowait(None)

    def error(self, code: int, reason: str) -> None:
        """Send an ERROR event, as the API server does when it cannot go on."""
        status = {"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason}
        event = {"type": "ERROR", "object": {**status, "message": f"a fault: {reason}", "metadata": {}}}
        self._orders.put_nowait(json.dumps(event).encode() + b"\n")

    async def run(self, lines: AsyncIterator[bytes]) -> None:
        """Pass the events on until the stream ends. Raises `StreamLost` when its connection is to break."""
        source = lines.__aiter__()
        event: asyncio.Future[bytes] = asyncio.ensure_future(anext(source))
        order = asyncio.ensure_future(self._orders.get())
        try:
            while True:
                await asyncio.wait({event, order}, return_when=asyncio.FIRST_COMPLETED)
                if order.done():
                    if (text := order.result()) is None:
                        raise StreamLost
                    await self._send(text)
                    order = asyncio.ensure_future(self._orders.get())
                if event.done():
                    try:
                        line = event.result()
                    except StopAsyncIteration:
                        if self._silent:
                            await asyncio.Event().wait()
                        return
                    await self._pass(line)
                    event = asyncio.ensure_future(anext(source))
        finally:
            for waiting in (event, order):
                waiting.cancel()
            await asyncio.gather(event, order, return_exceptions=True)

    async def _pass(self, line: bytes) -> None:
        if self._silent:
            return
        streams, self._seen = self._faults.streams, self._seen + 1
        document: dict[str, Any] = json.loads(line)
        kind, meta = document["type"], document["object"].get("metadata", {})
        what = (self.call.resource, meta.get("name"), meta.get("resourceVersion"), self._seen)
        if kind == "BOOKMARK":
            await self._send(line)
            return
        if streams.dropped(self.call.resource, kind) or self._faults.happens(streams.drop, "drop", *what):
            return
        copies = streams.copies if self._faults.happens(streams.duplicate, "duplicate", *what) else 1
        if self._held is None and self._faults.happens(streams.reorder, "reorder", *what):
            self._held = line * copies
            return
        await self._send(line * copies)
        if self._held is not None:
            held, self._held = self._held, None
            await self._send(held)


async def lines_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield whole lines of any length."""
    pending = b""
    async for chunk in chunks:
        *complete, pending = (pending + chunk).split(b"\n")
        for line in complete:
            if line.strip():
                yield line + b"\n"
