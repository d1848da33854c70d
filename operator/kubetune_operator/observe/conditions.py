"""Situation -> conditions: one rule a type; kstatus and `kubectl wait` read the outcome."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from kubetune_api.conditions import EVAL_CONDITIONS, FINETUNE_CONDITIONS, Condition
from kubetune_api.evalrun import EvalRun
from kubetune_api.finetunejob import FineTuneJob
from kubetune_api.report import FinalLine
from kubetune_api.run import Stage
from kubetune_api.scrub import scrub

from ..plan import Subject
from ..plan.owner import generation_of
from .queueing import QUEUED
from .situation import Situation, Step
from .terminal import condition, holds
from .timestamps import format_time

State = Literal["True", "False", "Unknown"]
_LIMIT = 1500


@dataclass(frozen=True)
class Finding:
    """The value of a condition; None keeps the stored one."""

    status: State
    reason: str
    message: str = ""


Rule = Callable[[Situation, Subject], Finding | None]
_OVER = (Step.SUCCEEDED, Step.FAILED, Step.REFUSED)


def _accepted(situation: Situation, subject: Subject) -> Finding:
    if situation.step is Step.REFUSED:
        return Finding("False", situation.reason, situation.message)
    return Finding("True", "Accepted", "the spec is valid")


def _data_ready(situation: Situation, subject: Subject) -> Finding | None:
    """Data that is ready stays ready: the stage of a run is told by it."""
    if holds(subject.status.conditions if subject.status else [], "DataReady"):
        return None
    final = _final(situation)
    if situation.prepared:
        return Finding("True", "Prepared", final.message if final else "the data is checked and prepared")
    if situation.step is Step.FAILED and situation.stage is Stage.PREPARE:
        return Finding("False", situation.reason, situation.message)
    if situation.step in (Step.RUNNING, Step.STARTING):
        return Finding("Unknown", "Preparing", "the data is being checked and prepared")
    return None


def _admitted(situation: Situation, subject: Subject) -> Finding | None:
    pod = situation.pod
    placed = pod is not None and pod.stage == Stage.TRAIN and pod.scheduled
    if situation.reason == QUEUED:
        return Finding("False", QUEUED, situation.message)
    if placed and pod is not None and (pod.phase != "Failed" or situation.step in _OVER):
        return Finding("True", "Scheduled", f"it has its place on node {pod.node}")
    if situation.step in _OVER:
        return None
    if situation.step is Step.SUSPENDED and situation.stage is Stage.TRAIN:
        return Finding("False", "Suspended", "the accelerators are given back")
    if situation.queue is not None:
        return Finding("True", "Admitted", f"queue {situation.queue} let it in")
    if situation.stage is not Stage.TRAIN:
        return None
    if situation.step is Step.WAITING:
        return Finding("False", situation.reason, situation.message)
    return Finding("Unknown", "Pending", "it waits for a node")


def _running(situation: Situation, subject: Subject) -> Finding:
    if situation.step is Step.RUNNING:
        return Finding("True", situation.reason, situation.message)
    if situation.step is Step.EVALUATING:
        return Finding("False", "Evaluating", "training is over; the EvalRun goes on")
    if situation.step in (Step.SUSPENDED, Step.SUSPENDING):
        return Finding("False", "Suspended", situation.message)
    if situation.step in _OVER:
        return Finding("False", "Finished", "")
    stored = condition(subject.status.conditions if subject.status else [], "Running")
    if stored is not None and stored.reason == "Suspended" and situation.actions.launch is None:
        # Resumed, but not yet begun anew: by this it is known that the next Job is a run of its own.
        return Finding("False", "Suspended", "no pod runs yet; the next one goes on from the checkpoint")
    return Finding("False", "Pending", "no pod runs")


def _progressing(situation: Situation, subject: Subject) -> Finding:
    moving = situation.step in (Step.STARTING, Step.RUNNING, Step.EVALUATING, Step.SUSPENDING)
    return Finding("True" if moving else "False", situation.reason, situation.message)


def _succeeded(situation: Situation, subject: Subject) -> Finding | None:
    if situation.step is Step.SUCCEEDED:
        return Finding("True", situation.reason, situation.message)
    if situation.step in (Step.FAILED, Step.REFUSED):
        return Finding("False", situation.reason, situation.message)
    return None


def _failed(situation: Situation, subject: Subject) -> Finding | None:
    if situation.step is Step.SUCCEEDED:
        return Finding("False", situation.reason, "")
    if situation.step in (Step.FAILED, Step.REFUSED):
        return Finding("True", situation.reason, situation.message)
    return None


def _gates_passed(situation: Situation, subject: Subject) -> Finding | None:
    assert isinstance(subject, EvalRun)
    if situation.step is not Step.SUCCEEDED:
        return None
    if not subject.spec.gates:
        return Finding("Unknown", "NoGates", "the spec has no gates")
    final = _final(situation)
    gates = final.gates if final else None
    if gates is None or any(gate.passed is None for gate in gates):
        return Finding("Unknown", "Undecided", "not every gate could be decided; see the report")
    missed = [gate for gate in gates if not gate.passed]
    if missed:
        text = "; ".join(f"{gate.name}: {gate.message}" for gate in missed)
        return Finding("False", "GateFailed", text)
    return Finding("True", "AllGatesHold", f"{len(gates)} of {len(gates)} gates hold")


def _approved(situation: Situation, subject: Subject) -> Finding | None:
    return Finding("Unknown", "NotRequired", "no approval is asked for") if situation.step in _OVER else None


def _final(situation: Situation) -> FinalLine | None:
    return situation.finals[-1] if situation.finals else None


_RULES: dict[str, Rule] = {
    "Accepted": _accepted,
    "DataReady": _data_ready,
    "Admitted": _admitted,
    "Running": _running,
    "Progressing": _progressing,
    "Succeeded": _succeeded,
    "Failed": _failed,
    "GatesPassed": _gates_passed,
    "Approved": _approved,
}


def conditions(situation: Situation, subject: Subject, now: datetime) -> list[Condition]:
    """Return every condition of the kind; one that nothing is known of yet is Unknown."""
    types = FINETUNE_CONDITIONS if isinstance(subject, FineTuneJob) else EVAL_CONDITIONS
    stored = subject.status.conditions if subject.status else []
    return [_condition(type_, situation, subject, condition(stored, type_), now) for type_ in types]


def _condition(type_: str, situation: Situation, subject: Subject, old: Condition | None, now: datetime) -> Condition:
    finding = _RULES[type_](situation, subject)
    if finding is None:
        if old is not None:
            return old.model_copy(update={"observed_generation": generation_of(subject)})
        finding = Finding("Unknown", "Pending", "")
    same = old is not None and old.status == finding.status
    return Condition(
        type=type_,
        status=finding.status,
        reason=finding.reason[:128] or "Unknown",
        message=scrub(finding.message)[:_LIMIT],
        last_transition_time=old.last_transition_time if same and old else format_time(now),
        observed_generation=generation_of(subject),
    )
