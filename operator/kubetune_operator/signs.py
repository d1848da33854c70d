"""Signs of life of the watches: when each was heard of last, and what an error in a stream means.

Kopf tells handlers of objects only, not of bookmarks, nor that a stream ended; and an error in a stream ends it all.
So one function of it is wrapped: the one that yields what comes in a stream.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator
from typing import Any

from kopf._cogs.clients import watching as streams
from kopf._cogs.clients.errors import APIError

logger = logging.getLogger(__name__)

_watch_objs = streams.watch_objs
_STREAK_SECONDS = 60.0
_GONE = {"type": "ERROR", "object": {"code": 410}}
"""What Kopf answers by listing anew and watching from there."""


class Signs:
    """When each watch was opened, or said something, for the last time. Written and read by different threads."""

    def __init__(self) -> None:
        self._heard: dict[tuple[str, str | None], float] = {}
        self._beat_at = time.monotonic()

    def start(self) -> None:
        """The watches start: give them their time."""
        self._heard = {}
        self._beat_at = time.monotonic()

    def beat(self) -> None:
        """The event loop of the watches turns."""
        self._beat_at = time.monotonic()

    def hear(self, resource: str, namespace: str | None) -> None:
        """A watch was opened, or said something."""
        self._heard[resource, namespace] = time.monotonic()

    def ages(self) -> dict[str, float]:
        """Return the seconds since each resource's watch was heard of; the most silent one's, of several namespaces."""
        now = time.monotonic()
        found: dict[str, float] = {}
        for (resource, _), at in dict(self._heard).items():
            found[resource] = max(found.get(resource, 0.0), now - at)
        return found

    def oldest_seconds(self) -> float:
        """Return the age of the watch that has been silent longest."""
        return max(self.ages().values(), default=0.0)

    def stuck_seconds(self) -> float:
        """Return for how long the event loop of the watches has not turned."""
        return time.monotonic() - self._beat_at


def listen(signs: Signs) -> None:
    """Note signs of every watch that Kopf opens from now on."""
    troubles: dict[str, tuple[int, float]] = {}

    async def watch_objs(**arguments: Any) -> AsyncIterator[Any]:
        resource, namespace = arguments["resource"].plural, arguments["namespace"]
        signs.hear(resource, namespace)
        try:
            async for event in _watch_objs(**arguments):
                signs.hear(resource, namespace)
                if event.get("type") == "ERROR" and event.get("object", {}).get("code") != 410:
                    raise ValueError(f"the API server says {event.get('object')}")
                yield event
        except APIError as error:  # refused: Kopf would end, and the version being too old is nothing to end for
            if error.status != 410:
                raise
            await _pause(resource, troubles)
            yield _GONE
        except ValueError as error:  # not JSON, or an error: what comes next is unknown, so all is read anew
            logger.warning("the watch of %s is broken: %s; it starts anew", resource, str(error)[:300])
            await _pause(resource, troubles)
            yield _GONE

    streams.watch_objs = watch_objs


async def _pause(resource: str, troubles: dict[str, tuple[int, float]]) -> None:
    """Wait a little, and longer when a watch breaks again and again: it lists everything each time."""
    now = time.monotonic()
    count, at = troubles.get(resource, (-1, now))
    count = count + 1 if now - at < _STREAK_SECONDS else 0
    troubles[resource] = (count, now)
    await asyncio.sleep(min(8.0, 0.25 * 2.0**count) * random.uniform(0.5, 1.0))
