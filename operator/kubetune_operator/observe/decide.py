"""Snapshot, now -> Situation: ordered rules, the first that has an answer decides.

ended               terminal: only the TTL and leftover Jobs are looked at
  |
refused             the plan says no: over, never retried
  |
evaluating          the stages are done, the owned EvalRun decides
  |
finished job        -> next stage | evaluation | succeeded | failed (or another run, when retries were raised)
  |
suspended           stop the Job; resume is a new run
  |
limits              maxRuntime, maxAcceleratorHours, disruptions and retries end the run
  |
lost node           the attempt is given up, the next run begins elsewhere
  |
waiting             an EvalRun whose FineTuneJob has no result yet
  |
pending | running   and a Job that is missing is launched, once no pod of an earlier run lives
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from ..plan import Refusal
from . import evaluating, job_outcome, limits, lost, pending, suspension
from .attempts import Ledger, ledger
from .situation import Actions, Situation, Step
from .snapshot import Snapshot
from .stages import current_job, current_run, current_stage, unfinished_jobs
from .terminal import condition, holds, is_terminal
from .timestamps import parse_time

_AGAIN_AFTER = 15.0
Rule = Callable[[Snapshot, Ledger, datetime], Situation | None]


def decide(snapshot: Snapshot, now: datetime) -> Situation:
    """Return where the run stands and what is to be done."""
    account = ledger(snapshot, now)
    situation = next(found for rule in RULES if (found := rule(snapshot, account, now)) is not None)
    job = current_job(snapshot)
    admitted = job is not None and not job.suspended and not job.finished
    return _told(replace(situation, queue=job.queue if job is not None and admitted else None), snapshot)


def _told(situation: Situation, snapshot: Snapshot) -> Situation:
    """Say what the cluster did not let us do; it is tried again until it does."""
    if not snapshot.failures:
        return situation
    failure = snapshot.failures[0]
    if situation.step in (Step.SUCCEEDED, Step.FAILED, Step.REFUSED):
        return replace(situation, requeue_after=_AGAIN_AFTER)
    if situation.step is Step.SUSPENDING:  # it stays asked to stop, whatever keeps us from stopping it
        return replace(situation, reason=failure.reason, message=failure.message, requeue_after=_AGAIN_AFTER)
    return replace(
        situation, step=Step.WAITING, reason=failure.reason, message=failure.message, requeue_after=_AGAIN_AFTER
    )


def ended(snapshot: Snapshot, account: Ledger, now: datetime) -> Situation | None:
    """A run that is over stays over, whatever became of its children."""
    status, ttl = snapshot.status, snapshot.subject.spec.ttl_seconds_after_finished
    if not is_terminal(status.conditions):
        return None
    entry = condition(status.conditions, "Succeeded")
    succeeded = entry is not None and entry.status == "True"
    due: float | None = None
    if ttl is not None and status.completion_time is not None:
        due = (parse_time(status.completion_time) + timedelta(seconds=ttl) - now).total_seconds()
    actions = Actions(stop_jobs=unfinished_jobs(snapshot), delete_subject=due is not None and due <= 0)
    step = Step.SUCCEEDED if succeeded else Step.FAILED
    reason = entry.reason if entry else step
    return Situation(step, reason, actions=actions, requeue_after=due if due is not None and due > 0 else None)


def refused(snapshot: Snapshot, account: Ledger, now: datetime) -> Situation | None:
    """A refusal counts until the run was accepted; afterwards what was rendered stays."""
    if not isinstance(snapshot.plan, Refusal) or holds(snapshot.status.conditions, "Accepted"):
        return None
    return Situation(Step.REFUSED, snapshot.plan.reason, snapshot.plan.message)


def waiting(snapshot: Snapshot, account: Ledger, now: datetime) -> Situation | None:
    """A run may wait for others until its first Job is made."""
    plan = snapshot.plan
    if isinstance(plan, Refusal) or plan.waiting is None or current_job(snapshot) is not None:
        return None
    wait = plan.waiting
    interval = snapshot.tuning.waiting_interval
    stage, run = current_stage(snapshot), current_run(snapshot)
    return Situation(Step.WAITING, wait.reason, wait.message, stage, run, requeue_after=6 * interval)


RULES: tuple[Rule, ...] = (
    ended,
    refused,
    evaluating.evaluating,
    job_outcome.finished_job,
    suspension.suspended,
    limits.exceeded,
    lost.lost_node,
    waiting,
    pending.pending_or_running,
)
