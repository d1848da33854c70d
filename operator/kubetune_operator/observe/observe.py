"""Snapshot, now -> the status that is true, and what is to be done about it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kubetune_api import names
from kubetune_api.evalstatus import EvalRunStatus
from kubetune_api.ftjstatus import FineTuneJobStatus
from kubetune_api.run import Stage

from ..plan.owner import generation_of, uid_of
from . import progress, results
from .attempts import Ledger, ledger
from .conditions import conditions
from .decide import decide
from .fault import SUSPENDED
from .lost import with_lost_pods
from .phase import phase
from .pods import PodView
from .reports import progress_of, reports_of
from .situation import Actions, Situation, Step
from .size import bounded
from .snapshot import Snapshot, Status
from .stages import current_stage
from .terminal import condition, holds, is_terminal
from .timestamps import format_time, parse_time

_OVER = (Step.SUCCEEDED, Step.FAILED, Step.REFUSED)


@dataclass(frozen=True)
class Observation:
    """The outcome of one look at a run."""

    status: Status
    actions: Actions
    requeue_after: float | None
    must_be_first: bool
    """Whether the status must be stored before the actions: a run number, the evaluation's name, or that it was asked
    to stop, is new."""


def observe(snapshot: Snapshot, now: datetime) -> Observation:
    """Return status, actions and the time of the next look."""
    snapshot = with_lost_pods(snapshot, now)
    situation = decide(snapshot, now)
    old = snapshot.status
    if is_terminal(old.conditions):
        status: Status = old.model_copy(update={"observed_generation": generation_of(snapshot.subject)})
    else:
        status = _throttled(bounded(_status(snapshot, situation, now)), snapshot, now)
    return Observation(status, situation.actions, situation.requeue_after, _is_intent(old, status))


def _status(snapshot: Snapshot, situation: Situation, now: datetime) -> Status:
    account = ledger(snapshot, now)
    old = snapshot.status
    updates = _shared(snapshot, situation, account, now)
    pod = situation.pod or _newest(snapshot)
    final = situation.finals[-1] if situation.finals else None
    reports = reports_of(snapshot, pod)
    over = situation.step in _OVER
    if isinstance(old, EvalRunStatus):
        updates["progress"] = None if over else progress.evaluation(reports.evaluation, old.progress, now)
        return old.model_copy(update=updates | results.eval_run(final))
    trained = over or situation.evaluation
    is_training = pod is not None and pod.stage == Stage.TRAIN
    reported = progress_of(snapshot, pod) if is_training else None
    updates["progress"] = progress.training(reported, old.progress, now, over=trained)
    updates |= results.fine_tune_job(final, reports, old.resolved)
    if situation.evaluation:
        updates["evaluation"] = names.evaluation_name(snapshot.subject.metadata.name, uid_of(snapshot.subject))
    if situation.verdict is not None:
        updates["verdict"] = situation.verdict
    return old.model_copy(update=updates)


def _shared(snapshot: Snapshot, situation: Situation, account: Ledger, now: datetime) -> dict[str, Any]:
    """Return the fields that both kinds have."""
    old, attempts = snapshot.status, list(account.attempts)
    started = old.start_time or (attempts[0].started if attempts else None)
    over = situation.step in _OVER
    return {
        "phase": phase(situation),
        "observed_generation": generation_of(snapshot.subject),
        "conditions": conditions(situation, snapshot.subject, now),
        **_ordered(snapshot, situation, account),
        "attempts": attempts or None,
        "active_seconds": account.active_seconds if attempts else None,
        "accelerator_seconds": account.accelerator_seconds or None,
        "disruptions": account.disruptions or None,
        "start_time": started,
        "completion_time": format_time(now) if over else None,
    }


def _ordered(snapshot: Snapshot, situation: Situation, account: Ledger) -> dict[str, Any]:
    """Return what says which Job is the run's, and what it is made with: stored before the Job is made."""
    old, launch = snapshot.status, situation.actions.launch
    failures = account.failures if situation.failures is None else situation.failures
    if launch is None:
        run = old.runs if situation.step in _OVER or situation.evaluation else situation.run or None
        return {"runs": run, "failures": failures or None}
    same_stage = launch.stage == current_stage(snapshot)
    return {
        "runs": launch.run,
        "epoch": launch.epoch,
        "failures": (failures if same_stage else 0) or None,
        "adjustments": situation.adjustments or old.adjustments,
    }


def _newest(snapshot: Snapshot) -> PodView | None:
    return snapshot.pods[-1] if snapshot.pods else None


def _is_intent(old: Status, new: Status) -> bool:
    return _intent(old) != _intent(new)


def _intent(status: Status) -> tuple[object, ...]:
    evaluation = status.evaluation if isinstance(status, FineTuneJobStatus) else None
    ready = holds(status.conditions, "DataReady")
    running = condition(status.conditions, "Running")
    suspended = running is not None and running.reason == SUSPENDED
    return status.runs, status.epoch, ready, evaluation, suspended, is_terminal(status.conditions)


def _throttled(new: Status, snapshot: Snapshot, now: datetime) -> Status:
    """Return the stored status when only progress changed and the interval has not passed."""
    old = snapshot.status
    if old.progress is None or old.progress.updated_at is None or old.progress == new.progress:
        return new
    if new.model_copy(update={"progress": old.progress}) != old:
        return new
    age = (now - parse_time(old.progress.updated_at)).total_seconds()
    return old if 0 <= age < snapshot.tuning.progress_interval else new
