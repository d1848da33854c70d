"""The fence in the one write path: only the leader writes, and only while nobody else can have taken over."""

import time
from collections.abc import Callable

from ..errors import NotLeader

Clock = Callable[[], float]


def steady() -> float:
    """Return seconds that nobody can set; where the system tells them, those asleep count too."""
    return time.clock_gettime(_STEADY) if _STEADY is not None else time.monotonic()


_STEADY: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class Gate:
    """Open until a moment, and shut by itself then: a process that was frozen finds it shut when it goes on."""

    def __init__(self, clock: Clock = steady) -> None:
        self._clock = clock
        self._until = float("-inf")

    def open(self, until: float = float("inf")) -> None:
        """Let writes through until a moment of the clock."""
        self._until = until

    def close(self) -> None:
        """Let nothing through."""
        self._until = float("-inf")

    def remaining(self) -> float:
        """Return for how many seconds writes may go on; 0 when shut."""
        return max(0.0, self._until - self._clock())

    def check(self) -> None:
        """Pass, when open.

        Raises:
            NotLeader: it is shut.
        """
        if self._until <= self._clock():
            raise NotLeader("another replica may lead now: nothing is written")


def always_open() -> Gate:
    """Return the gate of an operator that has no other replica."""
    gate = Gate()
    gate.open()
    return gate
