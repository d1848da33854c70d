"""Times as Kubernetes writes them."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """`metav1.Time`: whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(moment: datetime) -> str:
    """`metav1.MicroTime`, as Leases use."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse(text: str) -> datetime:
    """Read any RFC 3339 time."""
    return datetime.fromisoformat(text)


def seconds_since(text: str, moment: datetime) -> float:
    """Seconds from a written time to `moment`."""
    return (moment - parse(text)).total_seconds()
