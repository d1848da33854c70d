"""`maxRuntime`, `maxAcceleratorHours`, `retries` and the bound on disruptions: what ends a run that would go on."""

from datetime import datetime

from kubetune_api.fields import duration_seconds
from kubetune_api.finetunejob import FineTuneJob
from kubetune_api.run import Stage

from .attempts import Ledger, costs_a_retry, held, open_seconds
from .failure import exhausted
from .reports import final_of
from .situation import Actions, Situation, Step
from .snapshot import Snapshot
from .stages import current_run, current_stage, last_pod, unfinished_jobs, workspace_of


def exceeded(snapshot: Snapshot, account: Ledger, now: datetime) -> Situation | None:
    """End a run that used up its time, its retries, or the patience with disruptions."""
    stage = current_stage(snapshot)
    assert stage is not None
    found = (
        _deadline(snapshot, account, now)
        or _accelerator_hours(snapshot, account, now)
        or _disrupted(snapshot, account)
        or _retries(snapshot, account)
    )
    return None if found is None else over(snapshot, *found)


def over(snapshot: Snapshot, reason: str, message: str) -> Situation:
    """Return the situation of a run that is ended from outside: its Job is stopped."""
    stage = current_stage(snapshot)
    final = final_of(snapshot, last_pod(snapshot))
    return Situation(
        Step.FAILED,
        reason,
        message,
        stage,
        current_run(snapshot),
        finals=[final] if final else [],
        actions=Actions(stop_jobs=unfinished_jobs(snapshot)),
    )


def seconds_left(snapshot: Snapshot, account: Ledger, now: datetime) -> float:
    """Return the active time that is left, by either limit; suspended and waiting time does not count."""
    used = account.active_seconds + open_seconds(account.attempts, now)
    left = duration_seconds(snapshot.subject.spec.max_runtime) - used
    most, holds = _most_accelerator_seconds(snapshot), held(snapshot, current_stage(snapshot) or Stage.TRAIN)
    if most is None or holds == 0:
        return left
    return min(left, (most - _accelerator_seconds(snapshot, account, now)) / holds)


def _deadline(snapshot: Snapshot, account: Ledger, now: datetime) -> tuple[str, str] | None:
    limit = snapshot.subject.spec.max_runtime
    if account.active_seconds + open_seconds(account.attempts, now) < duration_seconds(limit):
        return None
    return "DeadlineExceeded", f"it ran for maxRuntime {limit}; {_way_on(snapshot)}"


def _way_on(snapshot: Snapshot) -> str:
    claim = workspace_of(snapshot)
    return f"make another run with more, and workspace.claimName: {claim}, to go on from the last checkpoint"


def _most_accelerator_seconds(snapshot: Snapshot) -> float | None:
    subject = snapshot.subject
    hours = subject.spec.max_accelerator_hours if isinstance(subject, FineTuneJob) else None
    return None if hours is None else float(hours) * 3600


def _accelerator_seconds(snapshot: Snapshot, account: Ledger, now: datetime) -> float:
    running = [attempt for attempt in account.attempts if not attempt.ended]
    return account.accelerator_seconds + sum(held(snapshot, each.stage) * open_seconds([each], now) for each in running)


def _accelerator_hours(snapshot: Snapshot, account: Ledger, now: datetime) -> tuple[str, str] | None:
    most = _most_accelerator_seconds(snapshot)
    if most is None or _accelerator_seconds(snapshot, account, now) < most:
        return None
    subject = snapshot.subject
    assert isinstance(subject, FineTuneJob)
    limit = subject.spec.max_accelerator_hours
    return "AcceleratorHoursExceeded", f"it used maxAcceleratorHours {limit}; {_way_on(snapshot)}"


def _disrupted(snapshot: Snapshot, account: Ledger) -> tuple[str, str] | None:
    count, bound = account.disruptions, snapshot.tuning.max_disruptions
    if count <= bound:
        return None
    message = f"{count} attempts were evicted, pre-empted, stopped or lost with their node before they were done"
    return "TooManyDisruptions", f"{message}, {bound} are allowed; ask for nodes that stay, or raise max_disruptions"


def _retries(snapshot: Snapshot, account: Ledger) -> tuple[str, str] | None:
    """Retries were lowered: otherwise the Job ends itself, and its pods are kept to be read."""
    failed, allowed = account.failures, snapshot.subject.spec.retries
    pod = last_pod(snapshot)
    if failed <= allowed or pod is None or pod.ended:
        return None
    last = next((attempt for attempt in reversed(account.attempts) if costs_a_retry(attempt)), None)
    told = f"{last.reason}: {last.message}" if last else "no longer listed"
    return "RetriesExhausted", exhausted(failed, allowed, told)
