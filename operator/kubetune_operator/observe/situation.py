"""Where a run stands, and what the cluster is to be told: decided once, read by every condition."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from kubetune_api.conditions import RunAdjustments
from kubetune_api.report import FinalLine
from kubetune_api.run import Stage

from ..plan.launch import Launch
from .pods import PodView

__all__ = ["Actions", "Launch", "Situation", "Step"]


class Step(StrEnum):
    """Where a run stands."""

    REFUSED = "Refused"
    WAITING = "Waiting"
    """Something must happen before a pod can run."""
    STARTING = "Starting"
    """Its Job or pod is on its way."""
    RUNNING = "Running"
    SUSPENDING = "Suspending"
    SUSPENDED = "Suspended"
    EVALUATING = "Evaluating"
    """The owned EvalRun runs."""
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True)
class Actions:
    """What the cluster is to be told after the status is safe."""

    launch: Launch | None = None
    stop_jobs: Sequence[str] = ()
    create_evaluation: bool = False
    suspend_evaluation: bool | None = None
    """Value that the owned EvalRun's `suspend` is to have."""
    delete_subject: bool = False


@dataclass(frozen=True)
class Situation:
    """The decision about one snapshot."""

    step: Step
    reason: str
    message: str = ""
    stage: Stage | None = None
    """Stage that the run is in; None before the first and after the last."""
    run: int = 0
    pod: PodView | None = None
    finals: Sequence[FinalLine] = ()
    """Final reports of the stages that this snapshot saw complete."""
    prepared: bool = False
    """Whether this snapshot saw the data become ready (FineTuneJob)."""
    evaluation: bool = False
    """Whether the stages are done and the owned EvalRun is due."""
    verdict: str | None = None
    adjustments: RunAdjustments | None = None
    """What the next runs are made with, where this snapshot changes it."""
    failures: int | None = None
    """Failures of the stage, where the Job tells of more than the attempts."""
    queue: str | None = None
    """Kueue's LocalQueue that let the Job in."""
    actions: Actions = field(default_factory=Actions)
    requeue_after: float | None = None
