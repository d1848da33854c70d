"""SIGTERM and SIGINT: what is done is kept, and the run ends as one to resume."""

import signal
from types import FrameType, TracebackType
from typing import Any, Self

from ..errors import Checkpointed

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """While it is entered, a signal makes the next `check` raise."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True

    def check(self) -> None:
        """Stop here if asked to.

        Raises:
            Checkpointed: a signal came.
        """
        if self.requested:
            raise Checkpointed("stopped on request; every finished row is kept, start again to go on")
