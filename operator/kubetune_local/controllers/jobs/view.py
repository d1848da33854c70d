"""A Job and its pods as the decision sees them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kubetune_local import timestamps

JSON = dict[str, Any]

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"
UNCOUNTED = "uncountedTerminatedPods"


@dataclass(frozen=True)
class JobFacts:
    """The settings of a Job."""

    job: JSON
    spec: JSON = field(init=False)
    status: JSON = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "spec", self.job["spec"])
        object.__setattr__(self, "status", self.job.get("status") or {})

    @property
    def indexed(self) -> bool:
        """Whether each completion has an index."""
        return bool(self.spec.get("completionMode") == "Indexed")

    @property
    def per_index(self) -> bool:
        """Whether failures are counted for each index by itself."""
        return self.spec.get("backoffLimitPerIndex") is not None

    @property
    def only_ended_replaced(self) -> bool:
        """Whether a pod is replaced only when it has ended, not when it is being deleted."""
        return self.spec.get("podReplacementPolicy") == "Failed" or self.spec.get("podFailurePolicy") is not None

    @property
    def suspended(self) -> bool:
        """Whether no pod may run."""
        return bool(self.spec.get("suspend"))

    @property
    def deleting(self) -> bool:
        """Whether the Job itself is being deleted."""
        return "deletionTimestamp" in self.job["metadata"]

    def condition(self, type_: str) -> JSON | None:
        """Return a condition that is True."""
        found = (entry for entry in self.status.get("conditions") or () if entry["type"] == type_)
        return next((entry for entry in found if entry["status"] == "True"), None)

    @property
    def finished(self) -> bool:
        """Whether the Job has ended."""
        return bool(self.condition("Complete") or self.condition("Failed"))


def phase(pod: JSON) -> str:
    """Return the phase of a pod; one that no node ever had and that is deleted has failed."""
    found = str(pod.get("status", {}).get("phase", "Pending"))
    if found == "Pending" and deleting(pod) and not pod["spec"].get("nodeName"):
        return "Failed"
    return found


def deleting(pod: JSON) -> bool:
    """Whether a pod is being deleted."""
    return "deletionTimestamp" in pod["metadata"]


def ended(pod: JSON) -> bool:
    """Whether a pod has succeeded or failed."""
    return phase(pod) in ("Succeeded", "Failed")


def active(pod: JSON) -> bool:
    """Whether a pod runs, or will."""
    return not ended(pod) and not deleting(pod)


def terminating(pod: JSON) -> bool:
    """Whether a pod is being stopped and has not ended yet."""
    return not ended(pod) and deleting(pod)


def tracked(pod: JSON) -> bool:
    """Whether a pod has not been counted for good."""
    return FINALIZER in pod["metadata"].get("finalizers", ())


def ready(pod: JSON) -> bool:
    """Whether a pod is Ready."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


def index_of(pod: JSON) -> int:
    """Return the completion index of a pod, -1 when it has none."""
    text = str(pod["metadata"].get("annotations", {}).get(INDEX, ""))
    return int(text) if text.isdigit() else -1


def count_of(pod: JSON, annotation: str) -> int:
    """Return a counter that a pod carries over from those before it."""
    text = str(pod["metadata"].get("annotations", {}).get(annotation, ""))
    return int(text) if text.isdigit() else 0


def finished_at(pod: JSON, fallback: datetime) -> datetime:
    """Return when the last container of a pod ended, else when its deletion began."""
    ends = []
    for entry in pod.get("status", {}).get("containerStatuses", ()):
        if at := entry.get("state", {}).get("terminated", {}).get("finishedAt"):
            ends.append(timestamps.parse(at))
    if ends:
        return max(ends)
    at = pod["metadata"].get("deletionTimestamp")
    return timestamps.parse(at) if at else fallback
