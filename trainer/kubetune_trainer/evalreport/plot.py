"""Positions on a horizontal axis, in percent of its width: an SVG drawn with them fits any screen."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

_MARGIN = 0.06


@dataclass(frozen=True)
class Axis:
    """A linear axis from `low` to `high`."""

    low: float
    high: float
    ticks: list[float]

    def at(self, value: float | None, otherwise: float = 0.0) -> float:
        """Return where a value lies, 0 to 100; `otherwise` for one that is unknown."""
        if value is None:
            return otherwise
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(max(share, 0.0), 1.0), 2)


def axis(values: Iterable[float | None], *, zero: bool = False) -> Axis:
    """Return an axis that holds all values, with some room and round ticks.

    Args:
        values: to show; None is one that is unknown.
        zero: whether 0 is on it too.
    """
    known = [value for value in values if value is not None] + ([0.0] if zero else [])
    low, high = min(known, default=0.0), max(known, default=1.0)
    room = (high - low) * _MARGIN or abs(high) * _MARGIN or 1.0
    low, high = low - room, high + room
    return Axis(low, high, _ticks(low, high))


def _ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return at most `most` round numbers between the ends."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10, 20) if factor * power >= rough)
    first = math.ceil(low / step)
    ticks = [round(step * k, 12) for k in range(first, math.floor(high / step) + 1)]
    return ticks or [(low + high) / 2]
