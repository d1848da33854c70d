"""Pods on nodes that no longer answer: such a pod never ends, and a Job waits for it for ever.

After a grace the attempt is given up: its Job is stopped and the next run begins elsewhere, although the pod object is
still there. Should the node come back, the epoch in the run file keeps the old trainer from writing to the workspace.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from .attempts import Ledger
from .fault import Fault
from .nodes import NodeView
from .pods import PodView
from .relaunch import relaunch
from .situation import Actions, Situation, Step
from .snapshot import Snapshot
from .stages import DOING, current_job, current_run, current_stage, live_pods, unfinished_jobs

_UNREACHABLE = "node.kubernetes.io/unreachable"


def with_lost_pods(snapshot: Snapshot, now: datetime) -> Snapshot:
    """Return the snapshot in which pods that will not be heard of in time are marked."""
    lost = [_is_lost(pod, snapshot, now) for pod in snapshot.pods]
    if not any(lost):
        return snapshot
    return replace(snapshot, pods=[replace(pod, lost=gone) for pod, gone in zip(snapshot.pods, lost, strict=True)])


def lost_node(snapshot: Snapshot, account: Ledger, now: datetime) -> Situation | None:
    """Give an attempt up whose node is lost; the next run begins when whatever else lives of it has ended."""
    stage, run, job = current_stage(snapshot), current_run(snapshot), current_job(snapshot)
    lost = [pod for pod in snapshot.pods if pod.lost and (pod.stage, pod.run) == (stage, run)]
    if stage is None or not lost or (job is not None and job.finished):
        return None
    living = live_pods(snapshot)
    if not living:
        return relaunch(snapshot, account, stage, Fault.NODE_LOST, lost[-1])
    message = f"node {lost[-1].node} is lost; waiting for pod {living[0].name} to end, then all of them begin anew"
    actions = Actions(stop_jobs=unfinished_jobs(snapshot))
    return Situation(Step.STARTING, DOING[stage], message, stage, run, living[0], actions=actions, requeue_after=5)


def _is_lost(pod: PodView, snapshot: Snapshot, now: datetime) -> bool:
    """A pod that should have ended long ago, or that should end and whose node is known not to answer."""
    if pod.ended or pod.deleted is None or pod.node is None:
        return False
    grace = timedelta(seconds=snapshot.tuning.node_lost_grace)
    since = pod.deleted
    if snapshot.nodes is not None and not answers(pod.node, snapshot.nodes):
        node = next((each for each in snapshot.nodes if each.name == pod.node), None)
        # A node that missed a few beats may still run a pod that has its grace, and writes its checkpoint.
        moments = (pod.stop_asked, node.silent_since if node is not None else None)
        since = min(since, max((moment for moment in moments if moment is not None), default=since))
    return now - since > grace


def answers(name: str, nodes: Sequence[NodeView]) -> bool:
    """Return whether a node is there, and its kubelet is heard of."""
    node = next((each for each in nodes if each.name == name), None)
    return node is not None and (node.ready or all(taint.get("key") != _UNREACHABLE for taint in node.taints))
