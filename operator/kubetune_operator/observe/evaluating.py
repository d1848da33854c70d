"""The owned EvalRun: its end is the job's end."""

from datetime import datetime

from kubetune_api.evalrun import EvalRun

from ..plan import Refusal
from .attempts import Ledger
from .situation import Actions, Situation, Step
from .snapshot import Snapshot
from .stages import current_stage
from .terminal import condition, holds


def evaluating(snapshot: Snapshot, account: Ledger, now: datetime) -> Situation | None:
    """Follow the EvalRun; make it when it is missing."""
    if current_stage(snapshot) is not None:
        return None
    run, suspend = snapshot.evaluation, snapshot.subject.spec.suspend
    if run is None:
        if isinstance(snapshot.plan, Refusal):
            return _situation(Step.FAILED, snapshot.plan.reason, snapshot.plan.message)
        if suspend:
            return _situation(Step.SUSPENDED, "Suspended", "suspended before the evaluation; set suspend: false")
        return _situation(Step.EVALUATING, "Evaluating", "the EvalRun is on its way", create=True)
    over = _outcome(run)
    if over is not None:
        return over
    change = suspend if run.spec.suspend != suspend else None
    entry = condition(run.status.conditions if run.status else [], "Progressing")
    message = f"EvalRun {run.metadata.name}" + (f": {entry.message}" if entry and entry.message else "")
    if suspend:
        return _situation(Step.SUSPENDED, "Suspended", f"{message}; set suspend: false to go on", change=change)
    return _situation(Step.EVALUATING, "Evaluating", message, change=change)


def _outcome(run: EvalRun) -> Situation | None:
    status = run.status
    if status is None:
        return None
    name, verdict = run.metadata.name, status.verdict
    if holds(status.conditions, "Succeeded"):
        gates = condition(status.conditions, "GatesPassed")
        failed = gates is not None and gates.status == "False"
        reason = "GatesNotPassed" if failed else "Completed"
        message = verdict or (gates.message if gates else "") or f"see EvalRun {name}"
        return Situation(Step.SUCCEEDED, reason, message, verdict=verdict, evaluation=True)
    if holds(status.conditions, "Failed"):
        entry = condition(status.conditions, "Failed")
        why = f"({entry.reason}): {entry.message}" if entry else ""
        message = f"the model is trained, but EvalRun {name} failed {why}"
        return Situation(Step.FAILED, "EvaluationFailed", message, evaluation=True)
    return None


def _situation(
    step: Step,
    reason: str,
    message: str,
    *,
    create: bool = False,
    change: bool | None = None,
) -> Situation:
    actions = Actions(create_evaluation=create, suspend_evaluation=change)
    return Situation(step, reason, message, evaluation=True, actions=actions)
