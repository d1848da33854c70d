"""Numbers, durations and sparklines as people read them."""

import itertools
import math
from collections.abc import Sequence
from datetime import UTC, datetime

_BARS = "▁▂▃▄▅▆▇█"


def _decimals(value: float) -> int:
    """Return how many decimals give three telling digits."""
    size = abs(value)
    return 3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0


def number(text: str | None, like: str | None = None) -> str:
    """Return a decimal with three telling digits (0.214, 7.41, 25.1, 1,234), or with those of `like`."""
    if text is None:
        return "–"
    try:
        value, model = float(text), float(like or text)
    except ValueError:
        return text
    return f"{value:,.{_decimals(model)}f}".replace("-", "−") if math.isfinite(value) else text


def signed(text: str | None, like: str | None = None) -> str:
    """Return a difference with its sign."""
    plain = number(text, like)
    return plain if plain[:1] in "−–" else f"+{plain}"


def interval(ends: Sequence[str] | None, like: str | None = None) -> str:
    """Return `[low, high]` with the digits of `like`, or an empty string."""
    return f"[{number(ends[0], like)}, {number(ends[1], like)}]" if ends and len(ends) == 2 else ""


def p_value(text: str | None) -> str:
    """Return `p < 0.001` or `p = 0.021`."""
    if text is None:
        return ""
    value = float(text)
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def duration(seconds: float) -> str:
    """Return `45s`, `4m10s` or `3h05m`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def size(count: int) -> str:
    """Return a number of bytes as `3.9 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def sparkline(values: Sequence[float], width: int) -> str:
    """Return a line of bars: the mean of each of `width` equal stretches, lowest to highest."""
    if not values:
        return ""
    width = min(width, len(values))
    edges = [round(index * len(values) / width) for index in range(width + 1)]
    means = [sum(values[low:high]) / (high - low) for low, high in itertools.pairwise(edges)]
    low, spread = min(means), (max(means) - min(means)) or 1.0
    return "".join(_BARS[round((mean - low) / spread * (len(_BARS) - 1))] for mean in means)


def moment(text: str | None) -> datetime | None:
    """Return a Kubernetes timestamp as a time, or None."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
    except ValueError:
        return None


def seconds_between(start: str | None, end: str | None, now: datetime) -> float | None:
    """Return the seconds from `start` to `end`, or to `now` when it has not ended; None when it has not started."""
    begun = moment(start)
    return None if begun is None else ((moment(end) or now) - begun).total_seconds()
