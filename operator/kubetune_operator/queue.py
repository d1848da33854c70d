"""The work queue: each key once, one worker a key, per-key back-off with jitter, and deadlines.

The semantics are those of client-go's workqueue: a key that is added while it is being worked on is
worked on again afterwards, and never by two workers at the same time.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from itertools import count

from .cluster.keys import Key
from .errors import ApiError, ApiUnreachable, Conflict, NotLeader

logger = logging.getLogger(__name__)

Work = Callable[[Key, bool], Awaitable[float | None]]
"""Works on a key, which a look may do for; returns the seconds after which to do so again, or None."""
Failed = Callable[[Key, BaseException], None]

_FIRST_DELAY, _LAST_DELAY = 0.2, 60.0
#: The API server comes back by itself: everything goes on within seconds when it does.
_UNREACHABLE_DELAY = 5.0
_PASS_LIMIT = 120.0
_NOT_LEADER_DELAY = 1.0
#: What is new goes before what is known, as if it had come so much earlier: it goes first, and nothing waits for ever.
_HEAD_START = 2.0


class WorkQueue:
    """Keys to be worked on. While it is shut, keys are kept, each once, and none is worked on."""

    def __init__(self, work: Work, failed: Failed | None = None) -> None:
        self._work = work
        self._failed = failed or (lambda key, error: None)
        self._ready: asyncio.PriorityQueue[tuple[float, int, Key]] = asyncio.PriorityQueue()
        self._numbers = count()
        self._unsure: set[Key] = set()
        """Keys for which a look will not do."""
        self._waiting_since: dict[Key, float] = {}
        self._working_since: dict[Key, float] = {}
        self._again: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._moved_at = time.monotonic()
        self._opened = asyncio.Event()
        self._opened.set()

    def open(self) -> None:
        """Work on keys."""
        self._moved_at = time.monotonic()
        self._opened.set()

    def close(self) -> None:
        """Finish what is being worked on, and keep the keys."""
        self._opened.clear()

    async def idle(self) -> None:
        """Wait until nothing is worked on."""
        while self._working_since:  # noqa: ASYNC110 - once, at the end of the process
            await asyncio.sleep(0.01)

    def drop(self, key: Key) -> None:
        """Nothing is left to do about a key: while the queue is shut, it need not be kept."""
        if not self._opened.is_set():
            self._waiting_since.pop(key, None)
            self._unsure.discard(key)

    def add(self, key: Key, look: bool = False, first: bool = False) -> None:
        """Have a key worked on as soon as possible; a look will do, unless it was added for more than that."""
        if not look:
            self._unsure.add(key)
        if key in self._working_since:
            self._again.add(key)
        elif key not in self._waiting_since:
            self._waiting_since[key] = time.monotonic()
            since = self._waiting_since[key] - (_HEAD_START if first else 0.0)
            self._ready.put_nowait((since, next(self._numbers), key))

    def add_after(self, key: Key, delay: float) -> None:
        """Have a key worked on after a delay; the earliest of several deadlines counts."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= loop.time() + delay:
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = loop.call_later(delay, self._due, key)

    async def run(self, workers: int) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._worker())

    def depth(self) -> int:
        """Return how many keys wait."""
        return len(self._waiting_since)

    def stalled_seconds(self) -> float:
        """Return for how long nothing has moved: the age of the oldest pass, or since one ended while keys wait.

        A long queue is no standstill: while the API server is away, passes go on, and fail, one after the other.
        """
        now = time.monotonic()
        waits = bool(self._waiting_since) and self._opened.is_set()
        waiting = now - max(self._moved_at, min(self._waiting_since.values())) if waits else 0.0
        return max(waiting, now - min(self._working_since.values(), default=now))

    def oldest_seconds(self) -> float:
        """Return how long the key has waited or been worked on that has done so longest; nothing waits while shut."""
        waiting = self._waiting_since.values() if self._opened.is_set() else ()
        since = [*waiting, *self._working_since.values()]
        return time.monotonic() - min(since) if since else 0.0

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def _worker(self) -> None:
        while True:
            _, _, key = await self._ready.get()
            await self._opened.wait()
            if self._waiting_since.pop(key, None) is None:
                continue  # dropped, or added twice since
            self._working_since[key] = time.monotonic()
            if timer := self._timers.pop(key, None):
                timer.cancel()
            try:
                await self._pass(key)
            finally:
                del self._working_since[key]
                self._moved_at = time.monotonic()
            if key in self._again:
                self._again.discard(key)
                self.add(key, look=True)

    async def _pass(self, key: Key) -> None:
        look = key not in self._unsure
        self._unsure.discard(key)
        try:
            async with asyncio.timeout(_PASS_LIMIT):
                after = await self._work(key, look)
        except NotLeader:
            self.add_after(key, _NOT_LEADER_DELAY)
            return
        except Exception as error:  # every failure of a pass is retried: this is the edge that turns it into a delay
            delay = self._delay(key, error)
            level = logging.DEBUG if isinstance(error, Conflict) else logging.WARNING
            known = isinstance(error, ApiError | ApiUnreachable | TimeoutError)
            text = "%s %s/%s: %s; again in %.1f s"
            logger.log(level, text, *key, error or type(error).__name__, delay, exc_info=None if known else error)
            self._failed(key, error)
            self.add_after(key, delay)
            return
        self._failures.pop(key, None)
        if after is not None:
            self.add_after(key, after)

    def _delay(self, key: Key, error: Exception) -> float:
        """Return the back-off: doubled with each failure, between half and all of it; 0 for the first conflict."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        if isinstance(error, Conflict) and count == 0:
            return 0.0
        limit = _UNREACHABLE_DELAY if isinstance(error, ApiUnreachable) else _LAST_DELAY
        delay: float = min(limit, _FIRST_DELAY * 2 ** min(count, 16)) * random.uniform(0.5, 1.0)
        asked = error.retry_after if isinstance(error, ApiError) and error.retry_after else 0.0
        return max(delay, min(asked, _LAST_DELAY))
