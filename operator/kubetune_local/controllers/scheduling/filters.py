"""Whether a node can take a pod, and why not."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from .affinity import named_nodes, selects, untolerated, wants_node
from .message import Reasons
from .requests import Amounts, allocatable, lacking, requests_of, used_by

JSON = dict[str, Any]

UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "value": ""}


def why_not(pod: JSON, node: JSON, pods: Sequence[JSON], volumes: Sequence[JSON]) -> Reasons | None:
    """Return why a node cannot take a pod, None when it can.

    Args:
        pod: The pod to place.
        node: The node.
        pods: Pods that are on the node and have not ended.
        volumes: PersistentVolumes that the pod needs.
    """
    named = named_nodes(pod)
    if named is not None and node["metadata"]["name"] not in named:
        return Reasons(("node(s) didn't satisfy plugin(s) [NodeAffinity]",))
    if pod["spec"].get("nodeName") not in (None, "", node["metadata"]["name"]):
        return Reasons(("node(s) didn't match the requested node name",))
    marked = node.get("spec", {}).get("unschedulable")
    if marked and untolerated(pod, {"spec": {"taints": [UNSCHEDULABLE]}}):
        return Reasons(("node(s) were unschedulable",))
    if untolerated(pod, node):
        return Reasons(("node(s) had untolerated taint(s)",))
    if not wants_node(pod, node):
        return Reasons(("node(s) didn't match Pod's node affinity/selector",))
    if short := _short(requests_of(pod), node, pods):
        return short
    if not all(selects((volume["spec"].get("nodeAffinity") or {}).get("required"), node) for volume in volumes):
        return Reasons(("node(s) didn't match PersistentVolume's node affinity",))
    return None


def _short(wanted: Amounts, node: JSON, pods: Sequence[JSON]) -> Reasons | None:
    has, used = allocatable(node), used_by(pods)
    wanted = wanted | {"pods": Decimal(1)}
    missing = lacking(wanted, has, used)
    if not missing:
        return None
    texts = tuple("Too many pods" if name == "pods" else f"Insufficient {name}" for name in missing)
    return Reasons(texts, helped_by_leaving=not lacking(wanted, has, {}))
