"""Reasons as label values: the ones that are known, and Other."""

from kubetune_api.exits import REASONS

_KNOWN = frozenset(REASONS.values()) | {
    "CandidateFailed",
    "DeadlineExceeded",
    "EvaluationFailed",
    "GatesNotPassed",
    "Killed",
    "LeakageFound",
    "Lost",
    "NotAllowed",
    "NotSupportedYet",
    "OutOfMemory",
    "PreemptionByScheduler",
    "RetriesExhausted",
    "Suspended",
    "TooManyDisruptions",
}


def bounded(reason: str | None) -> str:
    """Return a reason that may be a label value."""
    return reason if reason in _KNOWN else "Other"
