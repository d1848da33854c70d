"""A thread that ends a process which no longer makes progress (a hung device, a dead file system)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kubetune_api.report import FinalLine

from ..errors import Stalled
from ..reporting import Reporter

#: The first steps may compile, warm up and read a cold file system.
FIRST_LIMIT_SECONDS = 1800.0
SHORTEST_LIMIT_SECONDS = 300.0
#: Later a unit of work may take this many times the longest seen.
PATIENCE = 20.0


class Watchdog:
    """Call `beat` after each unit of work; silence beyond the limit ends the process with exit code 76."""

    def __init__(self, reporter: Reporter, *, first_limit: float = FIRST_LIMIT_SECONDS) -> None:
        self._reporter, self._limit = reporter, first_limit
        self._last = time.monotonic()
        self._longest = 0.0
        self._closed = threading.Event()
        self._waits = False
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()

    def beat(self) -> None:
        """Say that work went on."""
        now = time.monotonic()
        self._longest = max(self._longest, now - self._last)
        self._limit = max(SHORTEST_LIMIT_SECONDS, PATIENCE * self._longest)
        self._last = now

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait for other processes: silence in here is theirs, and they have watchdogs of their own."""
        began, self._waits = time.monotonic(), True
        try:
            yield
        finally:
            self._last += time.monotonic() - began
            self._waits = False

    def _watch(self) -> None:
        while not self._closed.wait(min(5.0, self._limit / 4)):
            silence = time.monotonic() - self._last
            if silence > self._limit and not self._waits:
                self._end(silence)

    def _end(self, silence: float, leave: Callable[[int], None] = os._exit) -> None:
        error = Stalled(
            f"no progress for {silence:.0f} s (limit {self._limit:.0f} s): the device or the file system hangs; the "
            "next attempt resumes at the last checkpoint, on another node if the node is at fault"
        )
        self._reporter.final(FinalLine(exit_code=error.exit_code, reason=error.reason, message=error.message))
        leave(error.exit_code)
