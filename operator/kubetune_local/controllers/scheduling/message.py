"""Why a pod fits nowhere, in the words of kube-scheduler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

NO_NODES = "no nodes available to schedule pods"


@dataclass(frozen=True)
class Reasons:
    """Why one node does not fit."""

    texts: tuple[str, ...]
    helped_by_leaving: bool = False
    """Whether it would fit if other pods left it."""


def unschedulable(nodes: Sequence[Reasons]) -> str:
    """Return the message for a pod that fits none of the nodes."""
    if not nodes:
        return NO_NODES
    counted = Counter(text for node in nodes for text in node.texts)
    reasons = ", ".join(sorted(f"{count} {text}" for text, count in counted.items()))
    return f"{_none_of(len(nodes))}: {reasons}. {preemption(nodes)}"


def for_all(count: int, reason: str) -> str:
    """Return the message for a reason that has nothing to do with any one node.

    The last two words are what kube-scheduler says where it did not even look for pods to remove.
    """
    return f"{_none_of(count)}: {reason}. not found"


def preemption(nodes: Sequence[Reasons]) -> str:
    """Return what would come of removing other pods; this scheduler never does."""
    helped = sum(node.helped_by_leaving for node in nodes)
    parts = []
    if helped:
        parts.append(f"{helped} No preemption victims found for incoming pod")
    if len(nodes) > helped:
        parts.append(f"{len(nodes) - helped} Preemption is not helpful for scheduling")
    return f"no new claims to deallocate, preemption: {_none_of(len(nodes))}: {', '.join(parts)}."


def _none_of(count: int) -> str:
    return f"0/{count} nodes are available"
