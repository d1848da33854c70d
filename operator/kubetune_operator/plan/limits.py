"""The platform's limits of a namespace: a run that goes beyond them waits, and is told what is in use, and by whom."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ..policy import NamespaceLimit
from .owner import uid_of
from .parse import Subject
from .plan import Plan, Waiting
from .policy import accelerators_of

REASON = "NamespaceLimit"
_SHOWN = 4


@dataclass(frozen=True)
class RunUsage:
    """What one run of the namespace uses."""

    name: str
    uid: str
    created: str
    """creationTimestamp: RFC 3339 text, which sorts as time does."""
    accelerators: int
    started: bool
    """Whether it holds a place: a Job was made, and it is neither over nor suspended with all its pods gone."""
    waiting: bool
    """Whether it wants a place, and nothing but a limit is in its way."""
    accelerator_seconds: int = 0
    ended: datetime | None = None


def usage_of(subject: Subject, *, ended: datetime | None, ready: bool = False) -> RunUsage:
    """Return what a run uses, as its stored status tells; `ready` when what it waited for is there by now."""
    status, metadata = subject.status, subject.metadata.model_extra or {}
    conditions = {entry.type: entry for entry in (status.conditions if status else [])}
    over = any(name in conditions and conditions[name].status == "True" for name in ("Failed", "Succeeded"))
    running, progressing = conditions.get("Running"), conditions.get("Progressing")
    # A run that is asked to stop keeps its place until its last pod has ended; it progresses for so long.
    resting = running is not None and running.reason == "Suspended"
    resting = resting and (progressing is None or progressing.status != "True")
    started = not over and bool(status and status.epoch) and not resting
    reason = progressing.reason if progressing is not None and not ready else ""
    blocked = reason in ("WaitingForFineTuneJob", "FineTuneJobNotFound")
    return RunUsage(
        subject.metadata.name,
        uid_of(subject),
        str(metadata.get("creationTimestamp") or ""),
        accelerators_of(subject),
        started,
        not (over or started or blocked or subject.spec.suspend or metadata.get("deletionTimestamp")),
        (status.accelerator_seconds or 0) if status else 0,
        ended if over else None,
    )


def owned(subject: Subject) -> bool:
    """Tell an evaluation that belongs to a job: the job holds the place for it."""
    references = (subject.metadata.model_extra or {}).get("ownerReferences") or []
    return any(reference.get("kind") == "FineTuneJob" for reference in references)


def applied(decided: Plan, limit: NamespaceLimit, mine: RunUsage, others: Sequence[RunUsage], now: datetime) -> Plan:
    """Return the plan, waiting when the namespace is full; among runs that wait the oldest goes first.

    Age and, in the same second, the UID order them, so that of two that see each other just one goes.
    """
    if decided.waiting is not None or not mine.waiting:
        return decided
    problem = _full(mine, others, limit, now)
    if problem is None:
        return decided
    return replace(decided, waiting=Waiting(REASON, f"namespace {decided.owner.namespace}: {problem}"))


def _full(mine: RunUsage, others: Sequence[RunUsage], limit: NamespaceLimit, now: datetime) -> str | None:
    most, spent = limit.concurrent_accelerators, _spent(mine, others, limit, now)
    if most is not None and mine.accelerators > most:
        problem = f"{mine.accelerators} accelerators are more than the {most} that it may ever hold"
        return f"{problem} (limits.concurrentAccelerators); make the run anew with fewer, or have the limit raised"
    ahead = [
        run
        for run in others
        if run.waiting
        and (run.created, run.uid) < (mine.created, mine.uid)
        and not (run.accelerators and (spent is not None or (most is not None and run.accelerators > most)))
    ]
    first = [run for run in others if run.started] + ahead
    names = ", ".join(run.name for run in first[:_SHOWN]) + (", ..." if len(first) > _SHOWN else "")
    if limit.concurrent_runs is not None and len(first) + 1 > limit.concurrent_runs:
        return _told(f"{limit.concurrent_runs} runs at a time are allowed (limits.concurrentRuns)", names)
    held = sum(run.accelerators for run in first)
    if most is not None and mine.accelerators and held + mine.accelerators > most:
        problem = f"{held} of {most} accelerators are taken (limits.concurrentAccelerators), this run needs"
        return _told(f"{problem} {mine.accelerators}", names)
    return spent if mine.accelerators else None


def _spent(mine: RunUsage, others: Sequence[RunUsage], limit: NamespaceLimit, now: datetime) -> str | None:
    """Return why nothing with an accelerator may start; what a run has used counts until it is out of the window."""
    since = now - timedelta(days=limit.days)
    used = sum(run.accelerator_seconds for run in (mine, *others) if run.ended is None or run.ended >= since)
    if limit.accelerator_hours is None or used < limit.accelerator_hours * 3600:
        return None
    problem = f"{used // 3600} of {limit.accelerator_hours} accelerator hours of {limit.days} days are used"
    return f"{problem} (limits.acceleratorHours); it starts when earlier runs are older than that"


def _told(problem: str, names: str) -> str:
    taken = f"taken or asked for before by {names}; it starts when one of them ends" if names else "none is left"
    return f"{problem}; {taken}"
