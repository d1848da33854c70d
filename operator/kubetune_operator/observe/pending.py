"""A stage that is not finished: its pod runs, waits for something, or is still to be made."""

from datetime import datetime

from .attempts import Ledger, failures
from .limits import seconds_left
from .pods import PodView
from .situation import Situation, Step
from .snapshot import Snapshot
from .stages import DOING, current_job, current_run, current_stage, last_pod, launch, live_pods
from .waiting import why_pending

_GRACE = 60.0


def pending_or_running(snapshot: Snapshot, account: Ledger, now: datetime) -> Situation:
    """Say what goes on in the current stage."""
    stage, run = current_stage(snapshot), current_run(snapshot)
    assert stage is not None
    job = current_job(snapshot)
    if job is None or job.deleted:
        return _missing(snapshot, account)
    pod, interval = last_pod(snapshot), snapshot.tuning.waiting_interval
    if pod is not None and (pod.running or pod.phase == "Succeeded") and pod.deleted is None:
        after = max(min(snapshot.tuning.progress_interval, seconds_left(snapshot, account, now) + 1), 0.1)
        where = f" on node {pod.node}" if pod.node else ""
        message = f"pod {pod.name} runs{where}"
        return Situation(Step.RUNNING, DOING[stage], message, stage, run, pod, requeue_after=after)
    if pod is not None and pod.deleted is not None and not pod.ended:
        return _stuck(snapshot, pod, now)
    why = why_pending(snapshot, None if pod is None or pod.ended else pod, snapshot.subject.spec.resources)
    if why is not None:
        return Situation(Step.WAITING, why.reason, why.message, stage, run, pod, requeue_after=interval)
    message = f"the {stage} pod is on its way"
    if pod is not None and pod.ended and account.attempts:
        last = account.attempts[-1]
        message = f"attempt {last.number} ended: {last.reason}; the next one is on its way"
    return Situation(Step.STARTING, DOING[stage], message, stage, run, pod, requeue_after=interval)


def _missing(snapshot: Snapshot, account: Ledger) -> Situation:
    """Launch the current run, or the first; twice the same name never makes two Jobs."""
    stage, run = current_stage(snapshot), max(current_run(snapshot), 1)
    assert stage is not None
    pods = live_pods(snapshot)
    retries = snapshot.subject.spec.retries - failures(account.attempts, stage)
    if pods:
        message = f"waiting for pod {pods[0].name} of an earlier run to end"
        return Situation(Step.STARTING, DOING[stage], message, stage, run, pods[0], requeue_after=5)
    return launch(snapshot, stage, run, retries)


def _stuck(snapshot: Snapshot, pod: PodView, now: datetime) -> Situation:
    """A pod that does not end after its grace: its node is lost, and the Job controller waits for it."""
    stage, run = current_stage(snapshot), current_run(snapshot)
    assert stage is not None
    assert pod.deleted is not None
    over = (now - pod.deleted).total_seconds()
    if over > _GRACE:
        message = (
            f"pod {pod.name} does not end: node {pod.node} does not answer. If the node is gone for good, run "
            f"`kubectl delete node {pod.node}`, or taint it node.kubernetes.io/out-of-service:NoExecute"
        )
        return Situation(Step.WAITING, "NodeLost", message, stage, run, pod, requeue_after=30)
    message = f"pod {pod.name} is being stopped; another one follows"
    return Situation(Step.STARTING, DOING[stage], message, stage, run, pod, requeue_after=10)
