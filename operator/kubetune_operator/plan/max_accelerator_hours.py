"""`spec.maxAcceleratorHours`: accelerators times hours, over all stages and attempts."""

from collections.abc import Iterator
from decimal import Decimal

from .bounds import positive
from .plan import Refusal


def refuse(hours: str | None) -> Iterator[Refusal]:
    """Refuse a limit that leaves nothing."""
    yield from positive("spec.maxAcceleratorHours", hours)


def seconds(hours: str | None) -> int | None:
    """Return the limit in seconds, at least one; None without a limit."""
    return None if hours is None else max(1, int(Decimal(hours) * 3600))
