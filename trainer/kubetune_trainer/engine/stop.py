"""A request to stop: SIGTERM sets a flag, the loop looks at it between micro-batches."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequested(Exception):
    """Leave what is being computed; the state of the last finished step is to be saved."""


class StopFlag:
    """Set once, by a signal or by a test."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def request(self) -> None:
        """Ask for a stop at the next boundary."""
        self._event.set()

    @property
    def requested(self) -> bool:
        """Whether a stop was asked for."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise StopRequested when a stop was asked for."""
        if self.requested:
            raise StopRequested


@contextmanager
def on_sigterm() -> Iterator[StopFlag]:
    """Yield a flag that SIGTERM and SIGINT set; a second one changes nothing, the grace period ends the process."""
    flag = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return

    def handle(number: int, frame: FrameType | None) -> None:
        flag.request()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield flag
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
