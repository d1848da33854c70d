"""The status of a Job after a look."""

import copy
from dataclasses import dataclass
from datetime import datetime

from kubetune_local import timestamps

from .indexes import format_indexes
from .tally import Tally
from .verdict import Verdict
from .view import JSON, UNCOUNTED, JobFacts, active, ready, terminating, tracked


@dataclass(frozen=True)
class Event:
    """An event for people."""

    type: str
    reason: str
    message: str


def next_status(
    facts: JobFacts, pods: list[JSON], tally: Tally, verdict: Verdict | None, now: datetime
) -> tuple[JSON, list[Event]]:
    """Return the new status, and what to tell when it has been written."""
    status, stamp, events = copy.deepcopy(facts.status), timestamps.rfc3339(now), list[Event]()
    if "startTime" not in status and not facts.suspended:
        status["startTime"] = stamp
    _set_counts(status, facts, pods, tally)
    if verdict is None:
        events += _note_suspension(status, facts, stamp)
    else:
        if facts.condition(verdict.type) is None:
            _add(status, verdict.type, verdict.reason, verdict.message, stamp)
        if _is_over(pods, tally, status):
            events.append(_finish(status, verdict, stamp))
    return status, events


def _set_counts(status: JSON, facts: JobFacts, pods: list[JSON], tally: Tally) -> None:
    running = [pod for pod in pods if active(pod)]
    numbers = {
        "active": len(running),
        "succeeded": tally.total_succeeded(facts) if facts.indexed else tally.succeeded,
        "failed": tally.failed,
    }
    for name, number in numbers.items():
        status[name] = number
        if not number:
            del status[name]
    status["ready"] = sum(map(ready, running))
    status["terminating"] = sum(map(terminating, pods))
    uncounted = {"succeeded": tally.uncounted_succeeded, "failed": tally.uncounted_failed}
    status[UNCOUNTED] = {name: uids for name, uids in uncounted.items() if uids}
    if facts.indexed:
        status["completedIndexes"] = format_indexes(tally.succeeded_indexes)
        if not status["completedIndexes"]:
            del status["completedIndexes"]
    if facts.per_index:
        status["failedIndexes"] = format_indexes(tally.failed_indexes)


def _note_suspension(status: JSON, facts: JobFacts, stamp: str) -> list[Event]:
    was = facts.condition("Suspended") is not None
    if facts.deleting or facts.suspended == was:
        return []
    others = [entry for entry in status.get("conditions") or () if entry["type"] != "Suspended"]
    if facts.suspended:
        status["conditions"] = others
        _add(status, "Suspended", "JobSuspended", "Job suspended", stamp)
        status.pop("startTime", None)  # the deadline is about the time since it was last resumed
        return [Event("Normal", "Suspended", "Job suspended")]
    status["conditions"] = others
    _add(status, "Suspended", "JobResumed", "Job resumed", stamp, value="False")
    status["startTime"] = stamp
    return [Event("Normal", "Resumed", "Job resumed")]


def _is_over(pods: list[JSON], tally: Tally, status: JSON) -> bool:
    """Return whether each pod is counted for good and none is left."""
    if status[UNCOUNTED] or any(active(pod) or terminating(pod) or tracked(pod) for pod in pods):
        return False
    return not tally.new_failed and not tally.new_succeeded


def _finish(status: JSON, verdict: Verdict, stamp: str) -> Event:
    if verdict.succeeded:
        _add(status, "Complete", verdict.reason, verdict.message, stamp)
        status["completionTime"] = stamp
        return Event("Normal", "Completed", "Job completed")
    _add(status, "Failed", verdict.reason, verdict.message, stamp)
    return Event("Warning", verdict.reason, verdict.message)


def _add(status: JSON, type_: str, reason: str, message: str, stamp: str, value: str = "True") -> None:
    condition = {"type": type_, "status": value, "reason": reason, "message": message}
    status.setdefault("conditions", []).append({**condition, "lastProbeTime": stamp, "lastTransitionTime": stamp})
