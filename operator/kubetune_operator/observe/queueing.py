"""A Job that a queue holds back: Kueue admits it and takes its place back; its `suspend` is never written by us."""

from kubetune_api.run import Stage

from .situation import Situation, Step
from .snapshot import JobView, Snapshot
from .stages import live_pods

QUEUED = "Queued"
_SUSPENDED_BY_ANOTHER = "JobSuspended"
_AGAIN_AFTER = 30.0


def queued(snapshot: Snapshot, job: JobView, stage: Stage, run: int) -> Situation:
    """Return the situation of a Job that is suspended by whoever queues it."""
    living = live_pods(snapshot)
    pod = living[0] if living else None
    if job.queue is None:
        message = f"Job {job.name} was suspended, not by this run; `kubectl patch job {job.name} --type merge -p "
        message += """'{"spec":{"suspend":false}}'` lets it go on"""
        return Situation(Step.WAITING, _SUSPENDED_BY_ANOTHER, message, stage, run, pod, requeue_after=_AGAIN_AFTER)
    message = f"waiting for a place in queue {job.queue}"
    if living:
        message = f"{message}; it lost the one it had, and pod {living[0].name} writes a checkpoint and ends"
    elif said := _said_by_kueue(snapshot):
        message = f"{message}: {said}"
    return Situation(Step.WAITING, QUEUED, message, stage, run, pod, requeue_after=_AGAIN_AFTER)


def _said_by_kueue(snapshot: Snapshot) -> str | None:
    """Return what Kueue said last of the Job's Workload."""
    return next((event.message.strip() for event in reversed(snapshot.events) if event.about == "Workload"), None)
