"""A queue of keys for reconcilers: deduplicated, one worker a key, back-off for each key, and delayed additions."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from kubetune_local.client import UNREACHABLE, ApiError

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """Semantics of client-go's rate-limited work queue, for one asyncio loop."""

    def __init__(self, first_delay: float = 0.05, longest_delay: float = 60.0) -> None:
        self._first, self._longest = first_delay, longest_delay
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()
        self._active: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._wakeup = asyncio.Event()

    def add(self, key: K) -> None:
        """Process the key soon; once, however often it is added before a worker takes it."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._active:
            self._ready.append(key)
            self._wakeup.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Process the key after a delay; the earliest of several delays wins."""
        loop = asyncio.get_running_loop()
        due = loop.time() + max(0.0, seconds)
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._fire, key)

    def retry(self, key: K) -> float:
        """Process the key again after its exponential back-off; returns the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(self._longest, self._first * 2.0 ** min(failures, 30)) * random.uniform(0.9, 1.1)
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """The key was processed well: its back-off begins anew."""
        self._failures.pop(key, None)

    def stop(self) -> None:
        """Cancel the pending timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    async def get(self) -> K:
        """The next key; call `done(key)` afterwards."""
        while not self._ready:
            self._wakeup.clear()
            await self._wakeup.wait()
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._active.add(key)
        return key

    def done(self, key: K) -> None:
        """The worker finished with the key; it is queued again if it was added meanwhile."""
        self._active.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            self._wakeup.set()

    def _fire(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def work(self, reconcile: Callable[[K], Awaitable[None]], name: str) -> None:
        """Take keys for ever; a failing key is retried with back-off and never stops the worker."""
        while True:
            key = await self.get()
            try:
                await reconcile(key)
            except ApiError as error:
                level = logging.DEBUG if error.conflict or error.not_found else logging.WARNING
                log.log(level, "%s: %s: %s", name, key, error)
                self.retry(key)
            except UNREACHABLE as error:
                log.debug("%s: %s: %s: %s", name, key, type(error).__name__, error)
                self.retry(key)
            except Exception:
                log.exception("%s: %s", name, key)
                self.retry(key)
            else:
                self.forget(key)
            finally:
                self.done(key)
