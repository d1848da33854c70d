"""Kubernetes' timestamps: RFC 3339 in UTC, to the second."""

from datetime import UTC, datetime, timedelta


def parse_time(text: str) -> datetime:
    """Return a Kubernetes timestamp as an aware datetime."""
    return datetime.fromisoformat(text).astimezone(UTC)


def format_time(moment: datetime) -> str:
    """Return a moment as Kubernetes writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def for_people(span: timedelta) -> str:
    """Return a span such as 4m10s or 2h5m: the two largest units."""
    seconds = max(0, round(span.total_seconds()))
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    parts: list[str] = []
    for unit, size in units:
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append(f"{count}{unit}" if count else "")
    return "".join(parts[:2]) or "0s"
