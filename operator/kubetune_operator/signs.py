"""What comes in the streams of the watches: signs of life, objects, and what an error means.

Kopf tells handlers of objects only, not of bookmarks, nor that a list is complete or a stream ended; an error in a
stream ends it all; and it makes a task, a queue and copies for each object. So two functions of it are wrapped: those
that yield what comes in a list and in a stream. Objects go from there to the store, and Kopf is left with the versions.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from kopf._cogs.clients import watching as streams
from kopf._cogs.clients.errors import APIError

from .handlers import Event, Listing, Seen

logger = logging.getLogger(__name__)

_watch_objs = streams.watch_objs
_fetch_objs = streams.fetching.fetch_objs
_OBJECTS = ("ADDED", "MODIFIED", "DELETED")
Take = Callable[[Event], None]
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


def listen(signs: Signs, take: Take) -> None:
    """Note signs of every watch that Kopf opens from now on, and take the objects out of it."""
    troubles: dict[str, tuple[int, float]] = {}

    async def watch_objs(**arguments: Any) -> AsyncIterator[Any]:
        resource, namespace = arguments["resource"].plural, arguments["namespace"]
        signs.hear(resource, namespace)
        try:
            async for event in _watch_objs(**arguments):
                signs.hear(resource, namespace)
                if event.get("type") == "ERROR" and event.get("object", {}).get("code") != 410:
                    raise ValueError(f"the API server says {event.get('object')}")
                if event.get("type") in _OBJECTS:
                    take(Seen(event["type"], event["object"]["kind"], event["object"]))
                    version = event["object"]["metadata"].get("resourceVersion")
                    event = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}}
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

    async def fetch_objs(**arguments: Any) -> AsyncIterator[Any]:
        resource, namespace = arguments["resource"], arguments["namespace"]
        uids: list[str] = []
        version = ""
        take(Listing(resource.kind, namespace))
        async for items, version in _fetch_objs(**arguments):
            signs.hear(resource.plural, namespace)
            for item in items:
                uids.append(item["metadata"]["uid"])
                take(Seen("ADDED", resource.kind, item))
            yield [], version
        take(Listing(resource.kind, namespace, uids, str(version)))

    streams.watch_objs = watch_objs
    streams.fetching.fetch_objs = fetch_objs


async def _pause(resource: str, troubles: dict[str, tuple[int, float]]) -> None:
    """Wait a little, and longer when a watch breaks again and again: it lists everything each time."""
    now = time.monotonic()
    count, at = troubles.get(resource, (-1, now))
    count = count + 1 if now - at < _STREAK_SECONDS else 0
    troubles[resource] = (count, now)
    await asyncio.sleep(min(8.0, 0.25 * 2.0**count) * random.uniform(0.5, 1.0))
