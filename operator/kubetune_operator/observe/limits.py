"""`spec.maxRuntime`, `spec.retries` and the bound on disruptions: what ends a run that would go on for ever."""

from datetime import datetime

from kubetune_api.fields import duration_seconds
from kubetune_api.run import Stage

from .attempts import Ledger, disruptions, failures, open_seconds
from .failure import exhausted
from .reports import final_of
from .situation import Actions, Situation, Step
from .snapshot import Snapshot
from .stages import current_run, current_stage, last_pod, unfinished_jobs, workspace_of


def exceeded(snapshot: Snapshot, account: Ledger, now: datetime) -> Situation | None:
    """End a run that used up its time, its retries, or the patience with disruptions."""
    stage = current_stage(snapshot)
    assert stage is not None
    found = _deadline(snapshot, account, now) or _disrupted(snapshot, account) or _retries(snapshot, account, stage)
    if found is None:
        return None
    reason, message = found
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
    """Return the active time that is left; suspended and waiting time does not count."""
    used = account.active_seconds + open_seconds(account.attempts, now)
    return duration_seconds(snapshot.subject.spec.max_runtime) - used


def _deadline(snapshot: Snapshot, account: Ledger, now: datetime) -> tuple[str, str] | None:
    if seconds_left(snapshot, account, now) > 0:
        return None
    limit = snapshot.subject.spec.max_runtime
    claim = workspace_of(snapshot)
    remedy = f"make another run with more, and workspace.claimName: {claim}, to go on from the last checkpoint"
    return "DeadlineExceeded", f"it ran for maxRuntime {limit}; {remedy}"


def _disrupted(snapshot: Snapshot, account: Ledger) -> tuple[str, str] | None:
    # Each run after the first was asked for by a person, who suspended the one before.
    resumed = max(current_run(snapshot) - 1, 0)
    count, bound = disruptions(account.attempts) - resumed, snapshot.tuning.max_disruptions
    if count <= bound:
        return None
    return "TooManyDisruptions", f"{count} pods were evicted, pre-empted or stopped before they were done"


def _retries(snapshot: Snapshot, account: Ledger, stage: Stage) -> tuple[str, str] | None:
    """Retries were lowered: otherwise the Job controller ends the Job itself, and its pods are kept to be read."""
    failed, allowed = failures(account.attempts, stage), snapshot.subject.spec.retries
    pod = last_pod(snapshot)
    if failed <= allowed or pod is None or pod.ended:
        return None
    last = next(attempt for attempt in reversed(account.attempts) if attempt.exit_code)
    return "RetriesExhausted", exhausted(failed, allowed, f"{last.reason}: {last.message}")
