"""`spec.suspend`: the Job goes with its pods, workspace and checkpoint stay; resuming is a run of its own."""

from datetime import datetime

from .attempts import Ledger
from .situation import Actions, Situation, Step
from .snapshot import Snapshot
from .stages import current_job, current_run, current_stage, launch, live_pods, unfinished_jobs
from .terminal import condition

REASON = "Suspended"


def suspended(snapshot: Snapshot, account: Ledger, now: datetime) -> Situation | None:
    """Stop what runs; start a new run once `suspend` is taken back."""
    stage, run = current_stage(snapshot), current_run(snapshot)
    assert stage is not None
    if snapshot.subject.spec.suspend:
        jobs, pods = unfinished_jobs(snapshot), live_pods(snapshot)
        actions = Actions(stop_jobs=jobs)
        if jobs or pods:
            pod = pods[-1] if pods else None
            message = "the pod writes a checkpoint and ends; it keeps its workspace"
            return Situation(Step.SUSPENDING, REASON, message, stage, run, pod, actions=actions, requeue_after=10)
        message = "suspended; it keeps its workspace and checkpoint. Set suspend: false to go on"
        return Situation(Step.SUSPENDED, REASON, message, stage, run)
    running = condition(snapshot.status.conditions, "Running")
    if running is None or running.reason != REASON or run == 0:
        return None
    job = current_job(snapshot)
    if job is not None and not job.deleted:
        return None
    if live_pods(snapshot) or unfinished_jobs(snapshot):
        return None
    retries = snapshot.subject.spec.retries - account.failures
    return launch(snapshot, stage, run + 1, retries)
