"""Reasons as label values: the ones that are known, and Other."""

from kubetune_api.exits import REASONS

_KNOWN = frozenset(REASONS.values()) | {
    "AcceleratorHoursExceeded",
    "CandidateFailed",
    "DeadlineExceeded",
    "Deleted",
    "DeletionByTaintManager",
    "EvaluationFailed",
    "EvictionByEvictionAPI",
    "GatesNotPassed",
    "Killed",
    "LeakageFound",
    "Lost",
    "NodeLost",
    "NotAllowed",
    "NotSupportedYet",
    "OutOfMemory",
    "PreemptionByScheduler",
    "Requeued",
    "RetriesExhausted",
    "Suspended",
    "TerminationByKubelet",
    "TooManyDisruptions",
}


def bounded(reason: str | None) -> str:
    """Return a reason that may be a label value."""
    return reason if reason in _KNOWN else "Other"
