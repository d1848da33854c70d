"""A stage that is not finished: its pod runs, waits for something, or is still to be made."""

from datetime import datetime, timedelta

from . import limits, queueing
from .attempts import Ledger
from .fault import NODE_LOST
from .limits import seconds_left
from .pods import PodView
from .situation import Situation, Step
from .snapshot import JobView, Snapshot
from .stages import DOING, current_job, current_run, current_stage, last_pod, launch, live_pods
from .timestamps import for_people
from .tries import last_try, nodes_of
from .waiting import Wait, why_pending


def pending_or_running(snapshot: Snapshot, account: Ledger, now: datetime) -> Situation:
    """Say what goes on in the current stage."""
    stage, run = current_stage(snapshot), current_run(snapshot)
    assert stage is not None
    job = current_job(snapshot)
    if job is None or job.deleted:
        return _missing(snapshot, account)
    if job.suspended:
        return queueing.queued(snapshot, job, stage, run)
    pod, interval = last_pod(snapshot), snapshot.tuning.waiting_interval
    if (running := _running(snapshot)) is not None:
        after = max(min(snapshot.tuning.progress_interval, seconds_left(snapshot, account, now) + 1), 0.1)
        return Situation(Step.RUNNING, DOING[stage], _where(snapshot), stage, run, running, requeue_after=after)
    if pod is not None and pod.deleted is not None and not pod.ended:
        return _stopping(snapshot, pod, now)
    waits = None if pod is None or pod.ended else _waiting_pod(snapshot, pod)
    why = why_pending(snapshot, waits, snapshot.subject.spec.resources)
    if why is not None:
        return _waiting(snapshot, job, waits, why, now)
    message = f"the {stage} pod is on its way"
    if pod is not None and pod.ended and account.attempts:
        last = account.attempts[-1]
        message = f"attempt {last.number} ended: {last.reason}; the next one is on its way"
    return Situation(Step.STARTING, DOING[stage], message, stage, run, pod, requeue_after=interval)


def _running(snapshot: Snapshot) -> PodView | None:
    """Return the pod that runs; of several that train together the first one, once all of them do."""
    stage, run = current_stage(snapshot), current_run(snapshot)
    last = last_try(snapshot, stage, run)
    if last is None or len(last.pods) < nodes_of(snapshot, stage):
        return None
    at_work = all((pod.running or pod.phase == "Succeeded") and pod.deleted is None for pod in last.pods)
    return min(last.pods, key=lambda pod: pod.index) if at_work else None


def _where(snapshot: Snapshot) -> str:
    last = last_try(snapshot, current_stage(snapshot), current_run(snapshot))
    assert last is not None
    pods = sorted(last.pods, key=lambda pod: pod.index)
    nodes = list(dict.fromkeys(pod.node for pod in pods if pod.node))
    on = f" on node{'s' if len(nodes) > 1 else ''} {', '.join(nodes)}" if nodes else ""
    return f"pod {pods[0].name} runs{on}" if len(pods) == 1 else f"{len(pods)} pods run{on}"


def _waiting_pod(snapshot: Snapshot, newest: PodView) -> PodView:
    """Return the pod that keeps the others waiting."""
    last = last_try(snapshot, newest.stage, newest.run)
    waits = [pod for pod in last.pods if not pod.ended and not pod.running] if last else []
    return next((pod for pod in waits if pod.unschedulable is not None), waits[-1] if waits else newest)


def _waiting(snapshot: Snapshot, job: JobView, pod: PodView | None, why: Wait, now: datetime) -> Situation:
    """Wait, and after a time in which somebody could have mended it, end what cannot mend itself."""
    stage, run, reason, message = current_stage(snapshot), current_run(snapshot), why.reason, why.message
    if reason == "MountFailed" and any(each.reason == NODE_LOST for each in snapshot.status.attempts or []):
        remedy = "a volume may still be attached to the lost node: taint that node"
        message = f"{message}; {remedy} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute to have it released"
    since = (pod.scheduled_at or pod.created) if pod is not None else job.created
    waited = (now - since).total_seconds() if since is not None else 0.0
    if why.hopeless and waited > snapshot.tuning.hopeless_after:
        text = f"{message}. It waited for {for_people(timedelta(seconds=waited))}, and nothing changed"
        return limits.over(snapshot, reason, text)
    interval = snapshot.tuning.waiting_interval
    return Situation(Step.WAITING, reason, message, stage, run, pod, requeue_after=interval)


def _missing(snapshot: Snapshot, account: Ledger) -> Situation:
    """Launch the current run, or the first; twice the same name never makes two Jobs."""
    stage, run = current_stage(snapshot), max(current_run(snapshot), 1)
    assert stage is not None
    pods = live_pods(snapshot)
    retries = snapshot.subject.spec.retries - account.failures
    if pods:
        message = f"waiting for pod {pods[0].name} of an earlier run to end"
        return Situation(Step.STARTING, DOING[stage], message, stage, run, pods[0], requeue_after=5)
    return launch(snapshot, stage, run, retries)


def _stopping(snapshot: Snapshot, pod: PodView, now: datetime) -> Situation:
    """A pod that does not end after its grace: its node may be lost, and the attempt is given up before long."""
    stage, run = current_stage(snapshot), current_run(snapshot)
    assert stage is not None
    assert pod.deleted is not None
    over = (now - pod.deleted).total_seconds()
    if over > 0:
        left = max(snapshot.tuning.node_lost_grace - over, 0) + 1
        message = (
            f"pod {pod.name} does not end: node {pod.node} does not answer. The attempt is given up in {left:.0f} s"
        )
        return Situation(Step.WAITING, NODE_LOST, message, stage, run, pod, requeue_after=left)
    message = f"pod {pod.name} is being stopped; another one follows"
    return Situation(Step.STARTING, DOING[stage], message, stage, run, pod, requeue_after=10)
