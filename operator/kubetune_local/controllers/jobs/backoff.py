"""The pause before a failed pod is replaced: 10 s, doubled with each failure since the last success, at most 10 min."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from .view import FAILURES, IGNORED, JSON, count_of, deleting, ended, finished_at, phase, tracked

LONGEST_SECONDS = 600.0


@dataclass(frozen=True)
class Record:
    """Failures of a Job since its last success."""

    failures: int = 0
    last: datetime | None = None


def remaining(failures: int, last: datetime | None, now: datetime, base: float) -> float:
    """Return the seconds that are left of the pause."""
    if failures == 0 or last is None:
        return 0.0
    pause = min(LONGEST_SECONDS, base * 2.0 ** min(failures - 1, 30))
    return max(0.0, (last + timedelta(seconds=pause) - now).total_seconds())


def remaining_of_index(pod: JSON, now: datetime, base: float) -> float:
    """Return the seconds that are left of the pause after the last failed pod of an index."""
    failures = count_of(pod, FAILURES) + count_of(pod, IGNORED) + 1
    return remaining(failures, finished_at(pod, now), now, base)


def remembered(pods: list[JSON], now: datetime) -> Record:
    """Return the record of a Job that is seen for the first time, from the pods that are still there."""
    over = [pod for pod in pods if ended(pod) and not tracked(pod) and not deleting(pod)]
    return advance(Record(), over, now)


def advance(record: Record, finished: list[JSON], now: datetime) -> Record:
    """Return the record after further pods have ended."""
    succeeded = [finished_at(pod, now) for pod in finished if phase(pod) == "Succeeded"]
    failed = [finished_at(pod, now) for pod in finished if phase(pod) != "Succeeded"]
    failures = record.failures
    if succeeded:
        since = max(succeeded)
        failed = [at for at in failed if at > since]
        failures = 0
    if not failed:
        return Record(failures, record.last if failures else None)
    return Record(failures + len(failed), max(failed))
