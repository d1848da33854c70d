"""A Job that finished: what comes next, or how the run ended."""

from dataclasses import replace
from datetime import datetime

from kubetune_api.evalrun import EvalRun
from kubetune_api.report import FinalLine
from kubetune_api.run import Stage

from ..plan import Refusal
from .attempts import Ledger, failures
from .failure import exhausted, explain
from .pods import PodView
from .reports import final_of, reports_of
from .situation import Actions, Situation, Step
from .snapshot import JobView, Snapshot
from .stages import current_job, current_run, current_stage, last_pod, launch

#: Reason that the Job controller gives when a pod failure policy rule ended the Job.
_POLICY = "PodFailurePolicy"


def finished_job(snapshot: Snapshot, account: Ledger, now: datetime) -> Situation | None:
    """Decide what follows on the Job of the current run."""
    job, stage = current_job(snapshot), current_stage(snapshot)
    if job is None or stage is None or not job.finished:
        return None
    if job.complete:
        return _completed(snapshot, stage)
    return _failed(snapshot, account, job, stage)


def _completed(snapshot: Snapshot, stage: Stage) -> Situation:
    pod = next((pod for pod in reversed(_pods(snapshot, stage)) if pod.phase == "Succeeded"), None)
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


def _pods(snapshot: Snapshot, stage: Stage) -> list[PodView]:
    run = current_run(snapshot)
    return [pod for pod in snapshot.pods if pod.stage == stage and pod.run == run]


def _failed(snapshot: Snapshot, account: Ledger, job: JobView, stage: Stage) -> Situation:
    pod = last_pod(snapshot)
    final = final_of(snapshot, pod)
    reason, message = explain(pod, final)
    failed, allowed = _failures(snapshot, account, job, stage), snapshot.subject.spec.retries
    if job.failed_reason != _POLICY and failed <= allowed and not isinstance(snapshot.plan, Refusal):
        return launch(snapshot, stage, current_run(snapshot) + 1, allowed - failed)
    if job.failed_reason != _POLICY and failed > 1:
        message = exhausted(failed, allowed, f"{reason}: {message}")
        reason = "RetriesExhausted"
    return Situation(
        Step.FAILED,
        reason,
        message,
        stage,
        pod=pod,
        finals=_known(snapshot, pod, final),
    )


def _failures(snapshot: Snapshot, account: Ledger, job: JobView, stage: Stage) -> int:
    """Return the failures of a stage whose Job used up its retries: those of earlier runs, and what the Job counted.

    The Job counts more than the attempts tell: pods that a node turned away, and those that the list has no room for.
    """
    earlier = [attempt for attempt in account.attempts if not (attempt.pod or "").startswith(f"{job.name}-")]
    return failures(earlier, stage) + job.retries + 1


def _known(snapshot: Snapshot, pod: PodView | None, final: FinalLine | None) -> list[FinalLine]:
    """Return the final report; what the log said of the data is kept when there is none."""
    dataset = reports_of(snapshot, pod).dataset
    if final is not None and final.dataset is None and dataset is not None:
        return [final.model_copy(update={"dataset": dataset})]
    return [final] if final else []
