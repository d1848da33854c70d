"""The platform's limits of a namespace: a run that goes beyond them waits, and is told what is in use, and by whom."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ..policy import NamespaceLimit
from .owner import uid_of
from .parse import Subject
from .plan import Plan, Refusal, Waiting
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
    """Whether it holds what it asked for: a Job was made, and it is neither finished nor suspended."""
    waiting: bool
    """Whether it is still to start, and nothing but a limit is in its way."""
    accelerator_seconds: int = 0
    ended: datetime | None = None


def usage_of(subject: Subject, *, ended: datetime | None, granted: bool) -> RunUsage:
    """Return what a run uses; `granted` says that its first Job is being made right now."""
    status, metadata = subject.status, subject.metadata.model_extra or {}
    conditions = {entry.type: entry for entry in (status.conditions if status else [])}
    over = any(name in conditions and conditions[name].status == "True" for name in ("Failed", "Succeeded"))
    active = not over and not subject.spec.suspend
    started = active and (granted or bool(status and status.epoch))
    progressing = conditions.get("Progressing")
    blocked = progressing is not None and progressing.reason in ("WaitingForFineTuneJob", "FineTuneJobNotFound")
    return RunUsage(
        subject.metadata.name,
        uid_of(subject),
        str(metadata.get("creationTimestamp") or ""),
        accelerators_of(subject),
        started,
        active and not started and not blocked,
        (status.accelerator_seconds or 0) if status else 0,
        ended if over else None,
    )


def owned(subject: Subject) -> bool:
    """Tell an evaluation that belongs to a job: the job holds the place for it."""
    references = (subject.metadata.model_extra or {}).get("ownerReferences") or []
    return any(reference.get("kind") == "FineTuneJob" for reference in references)


def applied(
    subject: Subject, decided: Plan | Refusal, limit: NamespaceLimit, runs: Sequence[RunUsage], now: datetime
) -> Plan | Refusal:
    """Return the plan, waiting when the namespace is full; among runs that wait the oldest goes first.

    Age and, in the same second, the UID order them, so that of two that see each other just one goes.
    """
    if isinstance(decided, Refusal) or decided.waiting is not None:
        return decided
    mine = next((run for run in runs if run.uid == uid_of(subject)), None)
    if mine is None or not mine.waiting:
        return decided
    problem = _full(mine, [run for run in runs if run.uid != mine.uid], limit, now)
    if problem is None:
        return decided
    return replace(decided, waiting=Waiting(REASON, f"namespace {subject.metadata.namespace}: {problem}"))


def _full(mine: RunUsage, others: Sequence[RunUsage], limit: NamespaceLimit, now: datetime) -> str | None:
    ahead = [run for run in others if run.waiting and (run.created, run.uid) < (mine.created, mine.uid)]
    first = [run for run in others if run.started] + ahead
    names = ", ".join(run.name for run in first[:_SHOWN]) + (", ..." if len(first) > _SHOWN else "")
    if limit.concurrent_runs is not None and len(first) + 1 > limit.concurrent_runs:
        return _told(f"{limit.concurrent_runs} runs at a time are allowed (limits.concurrentRuns)", names)
    held = sum(run.accelerators for run in first)
    most = limit.concurrent_accelerators
    if most is not None and mine.accelerators and held + mine.accelerators > most:
        problem = f"{held} of {most} accelerators are taken (limits.concurrentAccelerators), this run needs"
        return _told(f"{problem} {mine.accelerators}", names)
    since = now - timedelta(days=limit.days)
    used = sum(run.accelerator_seconds for run in others if run.ended is None or run.ended >= since)
    if limit.accelerator_hours is not None and mine.accelerators and used >= limit.accelerator_hours * 3600:
        problem = f"{used // 3600} of {limit.accelerator_hours} accelerator hours of {limit.days} days are used"
        return f"{problem} (limits.acceleratorHours); it starts when earlier runs are older than that"
    return None


def _told(problem: str, names: str) -> str:
    taken = f"taken or asked for before by {names}; it starts when one of them ends" if names else "none is left"
    return f"{problem}; {taken}"
