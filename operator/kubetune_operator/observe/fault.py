"""What ended an attempt that was not done: its kind decides whether it costs a retry, and what the next one changes."""

import re
from enum import StrEnum

from kubetune_api.exits import PERMANENT, Exit
from kubetune_api.report import FinalLine

from ..plan.launch import KILLED, TERMINATED
from .failure import OUT_OF_MEMORY
from .pods import PodView
from .snapshot import JobView

LOST = "Lost"
SUSPENDED = "Suspended"
NODE_LOST = "NodeLost"
DELETED = "Deleted"
REQUEUED = "Requeued"
#: Reasons that cost no retry: our own, and those of the DisruptionTarget condition (KEP-3329).
DISRUPTIONS = (
    LOST,
    SUSPENDED,
    NODE_LOST,
    DELETED,
    REQUEUED,
    "PreemptionByScheduler",
    "DeletionByTaintManager",
    "EvictionByEvictionAPI",
    "DeletionByPodGC",
    "TerminationByKubelet",
    "Disrupted",
)
#: Exit codes of a trainer that is done, or was stopped and goes on where it was.
UNHARMED = (int(Exit.DONE), int(Exit.CHECKPOINTED), TERMINATED)
_CODE_TOLD = re.compile(r"exit code (\d+)")


class Fault(StrEnum):
    """Kinds of ends."""

    PERMANENT = "Permanent"
    """Another attempt cannot mend it."""
    DISRUPTION = "Disruption"
    """It did not fail by itself; costs no retry."""
    NODE_LOST = "NodeLost"
    """Costs no retry; the next attempt goes elsewhere."""
    OUT_OF_MEMORY = "OutOfMemory"
    """The next attempt takes less at a time."""
    STALLED = "Stalled"
    """The next attempt goes elsewhere."""
    CRASH = "Crash"

    @property
    def is_free(self) -> bool:
        """Whether it costs no retry."""
        return self in (Fault.DISRUPTION, Fault.NODE_LOST)


def fault_of(pod: PodView | None, final: FinalLine | None, job: JobView) -> Fault:
    """Return what ended the pod of a Job; of one that is gone, what the Job controller said of it."""
    if pod is None:
        return _kind(int(told[1])) if (told := _CODE_TOLD.search(job.failed_message)) else Fault.CRASH
    if pod.lost:
        return Fault.NODE_LOST
    if pod.exit_code in PERMANENT:
        return Fault.PERMANENT
    if is_disruption(pod):
        return Fault.DISRUPTION
    if pod.reason == "OOMKilled" or (final is not None and final.reason == OUT_OF_MEMORY):
        return Fault.OUT_OF_MEMORY
    return _kind(pod.exit_code)


def is_disruption(pod: PodView) -> bool:
    """Tell a pod that was stopped from one that failed by itself."""
    if pod.lost or pod.disrupted is not None or pod.exit_code in (Exit.CHECKPOINTED, TERMINATED):
        return True
    return pod.deleted is not None and pod.exit_code in (KILLED, None)


def _kind(code: int | None) -> Fault:
    if code in PERMANENT:
        return Fault.PERMANENT
    if code in (Exit.CHECKPOINTED, TERMINATED):
        return Fault.DISRUPTION
    return {int(Exit.OUT_OF_MEMORY): Fault.OUT_OF_MEMORY, int(Exit.STALLED): Fault.STALLED}.get(code or 0, Fault.CRASH)
