"""A Job that finished: what comes next, or how the run ended."""

from dataclasses import replace
from datetime import datetime, timedelta

from kubetune_api.evalrun import EvalRun
from kubetune_api.report import FinalLine
from kubetune_api.run import Stage

from ..plan import Refusal
from . import limits
from .attempts import KEPT, Ledger, attempts_of, costs_a_retry
from .failure import exhausted, explain
from .fault import Fault, fault_of
from .pods import PodView
from .relaunch import relaunch
from .reports import final_of, reports_of
from .situation import Actions, Situation, Step
from .snapshot import JobView, Snapshot
from .stages import DOING, current_job, current_run, current_stage, launch, live_pods
from .timestamps import format_time
from .tries import last_try, nodes_of

#: Reason of a Job that failed as often as it was allowed to.
_EXHAUSTED = "BackoffLimitExceeded"
#: Seconds between a failure and the next run, doubled with each: those of the Job controller.
_FIRST_BACKOFF, _LAST_BACKOFF = 10, 360


def finished_job(snapshot: Snapshot, account: Ledger, now: datetime) -> Situation | None:
    """Decide what follows on the Job of the current run."""
    job, stage = current_job(snapshot), current_stage(snapshot)
    if job is None or stage is None or not job.finished:
        return None
    situation = _completed(snapshot, stage) if job.complete else _failed(snapshot, account, job, stage, now)
    goes_on = situation is not None and situation.step in (Step.STARTING, Step.WAITING) and not situation.prepared
    return (limits.exceeded(snapshot, account, now) if goes_on else None) or situation


def _completed(snapshot: Snapshot, stage: Stage) -> Situation:
    run = current_run(snapshot)
    done = [pod for pod in snapshot.pods if (pod.stage, pod.run, pod.phase) == (stage, run, "Succeeded")]
    # Of several that train together the first one reports.
    pod = min(reversed(done), key=lambda each: each.index, default=None)
    final = final_of(snapshot, pod)
    finals = [final] if final else []
    if stage is Stage.PREPARE:
        return replace(_trained_next(snapshot), finals=finals, prepared=True, pod=pod)
    if stage is Stage.TRAIN and _has_evaluation(snapshot):
        actions = Actions(create_evaluation=not snapshot.subject.spec.suspend)
        message = "the model is trained; its evaluation is on its way"
        return Situation(
            Step.EVALUATING, "Evaluating", message, pod=pod, finals=finals, evaluation=True, actions=actions
        )
    message = final.verdict or final.message if final else "the Job is complete"
    verdict = final.verdict if final else None
    return Situation(Step.SUCCEEDED, "Completed", message, stage, pod=pod, finals=finals, verdict=verdict)


def _trained_next(snapshot: Snapshot) -> Situation:
    if snapshot.subject.spec.suspend:
        return Situation(Step.SUSPENDED, "Suspended", "suspended; set suspend: false to train", Stage.TRAIN)
    return launch(snapshot, Stage.TRAIN, 1, snapshot.subject.spec.retries)


def _has_evaluation(snapshot: Snapshot) -> bool:
    return not isinstance(snapshot.subject, EvalRun) and snapshot.subject.spec.evaluation is not None


def _failed(snapshot: Snapshot, account: Ledger, job: JobView, stage: Stage, now: datetime) -> Situation | None:
    """End the run, or make the next one: once for all pods that train together, whichever of them ended it."""
    last = last_try(snapshot, stage, current_run(snapshot))
    pod = last.lead if last else None
    final = final_of(snapshot, pod)
    fault = fault_of(pod, final, job)
    failed, allowed = _failures(snapshot, account, job, fault), snapshot.subject.spec.retries
    tried_again = fault.is_free or (fault is not Fault.PERMANENT and failed <= allowed)
    if tried_again and not isinstance(snapshot.plan, Refusal):
        if snapshot.subject.spec.suspend:
            return None
        return _next(snapshot, account, stage, fault, pod, failed, now)
    reason, message = explain(pod, final)
    if fault is not Fault.PERMANENT and failed > 1:
        message = exhausted(failed, allowed, f"{reason}: {message}")
        reason = "RetriesExhausted"
    return Situation(Step.FAILED, reason, message, stage, pod=pod, finals=_known(snapshot, pod, final))


def _next(
    snapshot: Snapshot, account: Ledger, stage: Stage, fault: Fault, pod: PodView | None, failed: int, now: datetime
) -> Situation:
    """Make the next run, after a while when the last one failed."""
    run, number = current_run(snapshot), account.attempts[-1].number if account.attempts else failed
    if living := live_pods(snapshot):
        message = f"waiting for pod {living[0].name} of an earlier run to end"
        return Situation(Step.STARTING, DOING[stage], message, stage, run, living[0], requeue_after=5)
    ended = pod.finished if pod is not None else None
    if not fault.is_free and failed and ended is not None:
        due = ended + timedelta(seconds=min(_FIRST_BACKOFF * 2 ** min(failed - 1, 16), _LAST_BACKOFF))
        if (left := (due - now).total_seconds()) > 0:
            last = account.attempts[-1].reason if account.attempts else fault
            message = f"attempt {number} ended: {last}; the next one follows at {format_time(due)}"
            return Situation(Step.STARTING, DOING[stage], message, stage, run, pod, requeue_after=left)
    return relaunch(snapshot, account, stage, fault, pod, failed)


def _failures(snapshot: Snapshot, account: Ledger, job: JobView, fault: Fault) -> int:
    """Return the failures of a stage: those that the attempts tell, or more, when the Job counted pods nobody saw.

    A Job of several pods counts each of them; it is one failure.
    """
    own = attempts_of(job, account.attempts)
    seen = sum(costs_a_retry(attempt) for attempt in own)
    if job.failed_reason == _EXHAUSTED and nodes_of(snapshot, current_stage(snapshot)) == 1:
        counted = job.retries + 1
    else:
        counted = 0 if fault.is_free else 1
    return account.failures + (max(counted - seen, 0) if len(own) < KEPT else 0)


def _known(snapshot: Snapshot, pod: PodView | None, final: FinalLine | None) -> list[FinalLine]:
    """Return the final report; what the log said of the data is kept when there is none."""
    dataset = reports_of(snapshot, pod).dataset
    if final is not None and final.dataset is None and dataset is not None:
        return [final.model_copy(update={"dataset": dataset})]
    return [final] if final else []
