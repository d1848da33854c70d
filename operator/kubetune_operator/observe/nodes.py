"""The nodes of the cluster, and which of them a pod could ever run on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from kubetune_api.fields import quantity_value

from ..plan.accelerators import VENDORS, vendor_of
from .timestamps import parse_time


@dataclass(frozen=True)
class NodeView:
    """What a node offers."""

    name: str
    labels: Mapping[str, str]
    allocatable: Mapping[str, str]
    unschedulable: bool = False
    ready: bool = True
    silent_since: datetime | None = None
    """When it was no longer ready."""
    taints: Sequence[Mapping[str, str]] = field(default_factory=tuple)

    def amount(self, resource: str) -> Decimal:
        """Return how much of a resource pods may take; 0 when the node does not offer it."""
        try:
            return quantity_value(str(self.allocatable.get(resource, "0")))
        except ValueError:
            return Decimal(0)

    def describe(self) -> str:
        """Return what it is, for people: its accelerators, or cpu-only."""
        offers = []
        for resource in self.allocatable:
            vendor = vendor_of(resource)
            if (vendor is None and resource not in VENDORS) or not self.amount(resource):
                continue
            product = self.labels.get(vendor.product_label) if vendor else None
            offers.append(f"{self.amount(resource)} x {product or resource}")
        return ", ".join(offers) or "cpu-only"


def node_view(node: Mapping[str, Any]) -> NodeView:
    """Return the view of a node."""
    spec, status = node.get("spec", {}), node.get("status", {})
    found = {entry["type"]: entry for entry in status.get("conditions", [])}.get("Ready", {})
    ready, changed = found.get("status", "True") == "True", found.get("lastTransitionTime")
    return NodeView(
        name=node["metadata"]["name"],
        labels=node["metadata"].get("labels", {}),
        allocatable=status.get("allocatable") or status.get("capacity", {}),
        unschedulable=bool(spec.get("unschedulable")),
        ready=ready,
        silent_since=parse_time(changed) if changed and not ready else None,
        taints=tuple(spec.get("taints", [])),
    )


def inventory(nodes: Sequence[NodeView]) -> str:
    """Return the cluster's nodes in a few words, such as `2 nodes: cpu-only; 1 node: 8 x NVIDIA-H100`."""
    kinds: dict[str, int] = {}
    for node in nodes:
        kinds[node.describe()] = kinds.get(node.describe(), 0) + 1
    groups = [f"{count} node{'s' if count > 1 else ''}: {what}" for what, count in sorted(kinds.items())[:6]]
    return "; ".join(groups) or "the cluster has no nodes"
