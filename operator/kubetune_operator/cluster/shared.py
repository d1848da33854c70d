"""What is read of the whole cluster: it serves every run that asks for it in a while."""

import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from ..errors import Forbidden

Value = TypeVar("Value")


class SharedRead(Generic[Value]):
    """The last answer of a read, for so many seconds."""

    def __init__(self, read: Callable[[], Awaitable[Value]], seconds: float) -> None:
        self._read = read
        self._seconds = seconds
        self._known: tuple[float, Value | None] = (-seconds, None)

    async def get(self) -> Value | None:
        """Return the answer, or None when the operator may not read it.

        Raises:
            OperatorError: the API server said no for another reason, or nothing.
        """
        read_at, value = self._known
        if time.monotonic() - read_at < self._seconds:
            return value
        try:
            value = await self._read()
        except Forbidden:
            value = None
        self._known = (time.monotonic(), value)
        return value
