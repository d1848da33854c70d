"""Attempts: every pod that ran, what became of it, and how long the accelerators were held."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kubetune_api import names
from kubetune_api.conditions import Attempt
from kubetune_api.exits import Exit

from ..plan.owner import uid_of
from .failure import failure_reason, last_line
from .pods import PodView
from .reports import final_of, progress_of
from .snapshot import Snapshot
from .timestamps import format_time, parse_time

KEPT = 10
LOST = "Lost"
SUSPENDED = "Suspended"
_MESSAGE_LIMIT = 600


@dataclass(frozen=True)
class Ledger:
    """What the attempts of a run add up to."""

    attempts: Sequence[Attempt]
    """The last ones, oldest first."""
    active_seconds: int
    """Of all attempts that ended."""


def ledger(snapshot: Snapshot, now: datetime) -> Ledger:
    """Return the stored attempts brought up to date with the pods."""
    known = list(snapshot.status.attempts or [])
    total = snapshot.status.active_seconds or 0
    pods = {pod.name: pod for pod in snapshot.pods}
    attempts: list[Attempt] = []
    for attempt in known:
        ended = attempt
        if attempt.ended is None:
            pod = pods.get(attempt.pod or "")
            ended = _updated(attempt, pod, snapshot, now)
            total += _seconds(ended)
        attempts.append(ended)
    listed = {attempt.pod for attempt in known}
    number = known[-1].number if known else 0
    for pod in snapshot.pods:
        if pod.started is None or pod.name in listed or _forgotten(pod, known):
            continue
        number += 1
        fresh = Attempt(number=number, stage=pod.stage, pod=pod.name, started=format_time(pod.started), node=pod.node)
        fresh = _updated(fresh, pod, snapshot, now)
        total += _seconds(fresh)
        attempts.append(fresh)
    return Ledger(attempts[-KEPT:], total)


def open_seconds(attempts: Sequence[Attempt], now: datetime) -> float:
    """Return how long the attempts that still run have run."""
    spans = [now - parse_time(attempt.started) for attempt in attempts if attempt.started and not attempt.ended]
    return sum(max(span.total_seconds(), 0) for span in spans)


def failures(attempts: Sequence[Attempt], stage: str) -> int:
    """Return how many attempts of a stage count against the retries."""
    return sum(attempt.stage == stage and _counts(attempt) for attempt in attempts)


def disruptions(attempts: Sequence[Attempt]) -> int:
    """Return how many attempts ended without counting as a failure; those no longer listed are taken as such."""
    unlisted = attempts[0].number - 1 if attempts else 0
    free = [attempt for attempt in attempts if attempt.ended and attempt.exit_code != 0 and not _counts(attempt)]
    return unlisted + len(free)


def _counts(attempt: Attempt) -> bool:
    if attempt.ended is None or attempt.exit_code is None or attempt.exit_code in _UNHARMED:
        return False
    return attempt.reason not in _DISRUPTIONS


_UNHARMED = (int(Exit.DONE), int(Exit.CHECKPOINTED))
#: Reasons of the DisruptionTarget condition (KEP-3329).
_DISRUPTIONS = (
    LOST,
    SUSPENDED,
    "PreemptionByScheduler",
    "DeletionByTaintManager",
    "EvictionByEvictionAPI",
    "DeletionByPodGC",
    "TerminationByKubelet",
    "Disrupted",
)


def _forgotten(pod: PodView, known: Sequence[Attempt]) -> bool:
    """A pod older than the oldest attempt of a full list was counted, and dropped from it."""
    first = known[0].started if len(known) == KEPT else None
    return first is not None and pod.started is not None and pod.started < parse_time(first)


def _updated(attempt: Attempt, pod: PodView | None, snapshot: Snapshot, now: datetime) -> Attempt:
    if pod is None:
        suspended = snapshot.subject.spec.suspend
        reason, message = (SUSPENDED, None) if suspended else (LOST, "the pod is gone: deleted, or lost with its node")
        return attempt.model_copy(update={"ended": format_time(now), "reason": reason, "message": message})
    if not pod.ended:
        return attempt
    final, progress = final_of(snapshot, pod), progress_of(snapshot, pod)
    reason = pod.disrupted or (final.reason if final else None) or failure_reason(pod)
    if pod.exit_code not in _UNHARMED and _stopped(pod, snapshot):
        reason = SUSPENDED if snapshot.subject.spec.suspend else LOST
    message = final.message if final else last_line(pod.message)
    return attempt.model_copy(
        update={
            "ended": format_time(pod.finished or now),
            "exit_code": pod.exit_code,
            "reason": reason[:128],
            "message": message[:_MESSAGE_LIMIT] or None,
            "last_step": progress.step if progress else None,
        }
    )


def _stopped(pod: PodView, snapshot: Snapshot) -> bool:
    """A pod that was deleted after its Job was stopped, and killed before it was done, did not fail by itself."""
    subject = snapshot.subject
    job = snapshot.jobs.get(names.stage_name(subject.metadata.name, uid_of(subject), pod.stage, pod.run))
    return pod.deleted is not None and (job is None or job.deleted)


def _seconds(attempt: Attempt) -> int:
    if not attempt.started or not attempt.ended:
        return 0
    return max(0, round((parse_time(attempt.ended) - parse_time(attempt.started)).total_seconds()))
