"""The next run of a stage: what it costs, and what it does otherwise than the one before."""

from collections.abc import Sequence
from dataclasses import replace

from kubetune_api.conditions import RunAdjustments
from kubetune_api.run import Stage

from .attempts import Ledger, held
from .fault import Fault
from .nodes import NodeView
from .pods import PodView
from .situation import Situation
from .snapshot import Snapshot
from .stages import current_run, launch
from .tries import nodes_of

#: The micro-batch is halved no more often than that; each time costs a retry.
_MOST_DIVISOR = 1024
_MOST_AVOIDED = 8


def relaunch(
    snapshot: Snapshot, account: Ledger, stage: Stage, fault: Fault, pod: PodView | None, failed: int | None = None
) -> Situation:
    """Return the situation in which the next run of a stage is to be made.

    Args:
        snapshot: The object and its children.
        account: Its attempts.
        stage: The stage.
        fault: What ended the run before.
        pod: The pod that ended it.
        failed: Failures of the stage so far, when the Job knows of more than the attempts.
    """
    failed = account.failures if failed is None else failed
    changed = _adjustments(snapshot, stage, fault, pod)
    retries = snapshot.subject.spec.retries - failed
    situation = launch(snapshot, stage, current_run(snapshot) + 1, retries, changed)
    return replace(situation, pod=pod, failures=failed)


def _adjustments(snapshot: Snapshot, stage: Stage, fault: Fault, pod: PodView | None) -> RunAdjustments:
    known = snapshot.status.adjustments or RunAdjustments()
    if fault is Fault.OUT_OF_MEMORY and stage is Stage.TRAIN:
        divisor = min((known.micro_batch_divisor or 1) * 2, _MOST_DIVISOR)
        return known.model_copy(update={"micro_batch_divisor": divisor})
    if fault in (Fault.STALLED, Fault.NODE_LOST) and pod is not None and pod.node is not None:
        names = [*(name for name in known.avoided_nodes or [] if name != pod.node), pod.node][-_MOST_AVOIDED:]
        if _leaves_enough(snapshot, stage, names):
            return known.model_copy(update={"avoided_nodes": names})
    return known


def _leaves_enough(snapshot: Snapshot, stage: Stage, avoided: Sequence[str]) -> bool:
    """Return whether the nodes that are left could hold the run; where they may not be listed, nobody can tell."""
    if snapshot.nodes is None:
        return False
    left = [node for node in snapshot.nodes if node.name not in avoided and _could_hold(node, snapshot, stage)]
    return len(left) >= nodes_of(snapshot, stage)


def _could_hold(node: NodeView, snapshot: Snapshot, stage: Stage) -> bool:
    wanted = snapshot.subject.spec.resources.accelerator
    enough = not held(snapshot, stage) or node.amount(wanted.resource_name) >= wanted.count
    return enough and node.ready and not node.unschedulable
