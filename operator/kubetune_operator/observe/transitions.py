"""Old status, new status -> the Kubernetes events that people see in `kubectl describe`."""

from collections.abc import Iterator
from dataclasses import dataclass

from kubetune_api.conditions import RunAdjustments

from .snapshot import Status
from .terminal import condition

_WARNING, _NORMAL = "Warning", "Normal"
_LIMIT = 1000


@dataclass(frozen=True)
class Notice:
    """A Kubernetes event to be made."""

    type: str
    reason: str
    message: str


def notices(old: Status, new: Status) -> Iterator[Notice]:
    """Yield an event for each turn of the run that a person would want to know of.

    That a Job or a pod was made and runs is told by their own events, and that a run is done by its conditions.
    """
    yield from _adjusted(old.adjustments or RunAdjustments(), new.adjustments or RunAdjustments())
    for type_ in ("Progressing", "GatesPassed", "Succeeded"):
        before, after = condition(old.conditions, type_), condition(new.conditions, type_)
        if after is None:
            continue
        changed = before is None or (before.status, before.reason) != (after.status, after.reason)
        if changed and (notice := _notice(type_, after.status, after.reason, after.message)):
            yield notice


def _adjusted(old: RunAdjustments, new: RunAdjustments) -> Iterator[Notice]:
    if (divisor := new.micro_batch_divisor or 1) != (old.micro_batch_divisor or 1):
        text = f"it ran out of memory: the next attempt takes 1/{divisor} of the micro-batch; the global batch stays"
        yield Notice(_WARNING, "MicroBatchReduced", text)
    for node in new.avoided_nodes or []:
        if node not in (old.avoided_nodes or []):
            yield Notice(_WARNING, "NodeAvoided", f"the next attempts stay away from node {node}")


def _notice(type_: str, status: str, reason: str, message: str) -> Notice | None:
    text = message[:_LIMIT] or reason
    if type_ == "Succeeded" and status == "False":
        return Notice(_WARNING, reason, text)
    if type_ == "GatesPassed" and status != "Unknown":
        return Notice(_NORMAL if status == "True" else _WARNING, reason, text)
    if type_ == "Progressing" and status == "False" and reason in _WAITING:
        return Notice(_NORMAL if reason in ("Suspended", "Queued") else _WARNING, reason, text)
    return None


#: Reasons of Progressing that a person may have to act on; the ends of a run are told by Succeeded.
_WAITING = (
    "Suspended",
    "Queued",
    "JobSuspended",
    "Unschedulable",
    "ImagePullFailed",
    "ContainerConfigFailed",
    "PodCreationFailed",
    "PodForbidden",
    "QuotaExceeded",
    "MountFailed",
    "VolumePending",
    "ClaimNotFound",
    "SandboxFailed",
    "NodeLost",
    "NameConflict",
    "Forbidden",
    "Rejected",
    "NamespaceTerminating",
    "FineTuneJobNotFound",
)
