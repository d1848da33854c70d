"""`spec.maxRuntime`: active time over suspend, pre-emption and retry."""

from collections.abc import Iterator

from kubetune_api.fields import duration_seconds

from .plan import Refusal, bad


def refuse(max_runtime: str) -> Iterator[Refusal]:
    """Refuse a runtime of zero."""
    if duration_seconds(max_runtime) == 0:
        yield bad("spec.maxRuntime", "0 leaves no time to run; give for example 24h")
