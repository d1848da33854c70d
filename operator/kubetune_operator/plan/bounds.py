"""Bounds of decimals that a schema cannot check because they are text."""

from collections.abc import Iterator
from decimal import Decimal

from .plan import Refusal, bad


def between(field: str, text: str | None, low: str, high: str, *, open_low: bool = False) -> Iterator[Refusal]:
    """Refuse a decimal outside [low, high], or (low, high] when `open_low`."""
    if text is None:
        return
    value = Decimal(text)
    if value > Decimal(high) or value < Decimal(low) or (open_low and value == Decimal(low)):
        least = f"more than {low}" if open_low else f"at least {low}"
        yield bad(field, f"{text} is out of range; give {least} and at most {high}")


def positive(field: str, text: str | None, *, high: str = "1e9") -> Iterator[Refusal]:
    """Refuse a decimal that is not above zero."""
    yield from between(field, text, "0", high, open_low=True)
