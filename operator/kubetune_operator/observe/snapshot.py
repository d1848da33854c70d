"""What was read of an object and its children at one moment; the rules see nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kubetune_api.evalrun import EvalRun
from kubetune_api.evalstatus import EvalRunStatus
from kubetune_api.finetunejob import FineTuneJob
from kubetune_api.ftjstatus import DatasetStatus, FineTuneJobStatus, Progress, Resolved
from kubetune_api.report import EvalProgressLine, FinalLine

from ..plan import Plan, Refusal, Subject
from ..plan.launch import QUEUE_LABEL
from .nodes import NodeView
from .occupancy import Occupancy
from .pods import PodView
from .timestamps import parse_time

Status = FineTuneJobStatus | EvalRunStatus


@dataclass(frozen=True)
class Reports:
    """The last report of each type in a pod's log."""

    progress: Progress | None = None
    evaluation: EvalProgressLine | None = None
    resolved: Resolved | None = None
    dataset: DatasetStatus | None = None
    final: FinalLine | None = None


@dataclass(frozen=True)
class EventView:
    """A Kubernetes event about a child."""

    reason: str
    message: str
    about: str
    """Kind of the object it is about."""


@dataclass(frozen=True)
class ApplyFailure:
    """A child that could not be made."""

    reason: str
    message: str


@dataclass(frozen=True)
class JobView:
    """A Job of the run."""

    name: str
    uid: str | None = None
    complete: bool = False
    failed_reason: str | None = None
    failed_message: str = ""
    deleted: bool = False
    retries: int = 0
    """Failures that it was made to follow with another attempt."""
    failed: int = 0
    """Pods that failed, without those that its policy ignores."""
    suspended: bool = False
    queue: str | None = None
    """Kueue's LocalQueue that it waits in or was admitted by."""
    created: datetime | None = None
    stopped_at: datetime | None = None
    """When it finished, or was suspended last."""

    @property
    def finished(self) -> bool:
        """Whether its outcome is decided."""
        return self.complete or self.failed_reason is not None


@dataclass(frozen=True)
class Tuning:
    """Figures of the settings that the rules need."""

    progress_interval: float = 30
    waiting_interval: float = 5
    max_disruptions: int = 50
    node_lost_grace: float = 120
    hopeless_after: float = 3600


@dataclass(frozen=True)
class Snapshot:
    """An object, its plan and its children."""

    subject: Subject
    plan: Plan | Refusal
    jobs: Mapping[str, JobView] = field(default_factory=dict)
    pods: Sequence[PodView] = ()
    """Oldest first."""
    reports: Mapping[str, Reports] = field(default_factory=dict)
    """By pod name."""
    events: Sequence[EventView] = ()
    nodes: Sequence[NodeView] | None = None
    """None when they may not be listed."""
    occupancy: Occupancy | None = None
    """Who holds the accelerators; read when a pod waits for one."""
    evaluation: EvalRun | None = None
    """The owned EvalRun."""
    failures: Sequence[ApplyFailure] = ()
    """What could not be made in this pass."""
    tuning: Tuning = Tuning()

    @property
    def status(self) -> Status:
        """The status as it is stored."""
        if isinstance(self.subject, FineTuneJob):
            return self.subject.status or FineTuneJobStatus()
        return self.subject.status or EvalRunStatus()


def job_view(job: Mapping[str, Any]) -> JobView:
    """Return the view of a Job. FailureTarget comes before Failed, when its pods still end: it is not final yet."""
    metadata, spec, status = job["metadata"], job.get("spec", {}), job.get("status", {})
    conditions = {entry["type"]: entry for entry in status.get("conditions", []) if entry.get("status") == "True"}
    failed = conditions.get("Failed")
    ended = [entry["lastTransitionTime"] for entry in conditions.values() if "lastTransitionTime" in entry]
    return JobView(
        name=metadata["name"],
        uid=metadata.get("uid"),
        complete="Complete" in conditions,
        failed_reason=failed.get("reason", "Failed") if failed else None,
        failed_message=failed.get("message", "") if failed else "",
        deleted=bool(metadata.get("deletionTimestamp")),
        retries=int(spec.get("backoffLimit", 0)),
        failed=int(status.get("failed", 0)),
        suspended=bool(spec.get("suspend")),
        queue=metadata.get("labels", {}).get(QUEUE_LABEL),
        created=parse_time(metadata["creationTimestamp"]) if "creationTimestamp" in metadata else None,
        stopped_at=parse_time(max(ended)) if ended else None,
    )
