"""Who holds the accelerators of the nodes, and until when by their own estimate."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from kubetune_api import names

from .demand import amounts_of

OTHERS = "other pods"


@dataclass(frozen=True)
class Holder:
    """A pod on a node, and what it holds there."""

    node: str
    owner: str
    """namespace/name of the run, or OTHERS."""
    kind: str
    amounts: Mapping[str, Decimal]
    ends: datetime | None = None
    """When the run should end, by its own estimate."""


@dataclass(frozen=True)
class Occupancy:
    """The pods that hold accelerators."""

    holders: Sequence[Holder] = ()
    complete: bool = False
    """Whether the pods of other people are among them; otherwise only ours are known."""

    def ending(self, ends: Mapping[str, datetime]) -> "Occupancy":
        """Return it with the estimates of runs, by namespace/name."""
        told = [replace(each, ends=ends.get(each.owner)) for each in self.holders]
        return replace(self, holders=told)


@dataclass(frozen=True)
class Use:
    """What one run holds of a resource on some nodes."""

    owner: str
    amount: Decimal
    ends: datetime | None


def holders(pods: Iterable[Mapping[str, Any]]) -> list[Holder]:
    """Return who holds what, of pods as the API server lists them; those without extended resources are left out."""
    found = []
    for pod in pods:
        spec, metadata = pod.get("spec") or {}, pod["metadata"]
        node, phase = spec.get("nodeName"), (pod.get("status") or {}).get("phase")
        if not node or phase in ("Succeeded", "Failed"):
            continue
        held = {name: amount for name, amount in amounts_of(spec).items() if "/" in name and amount > 0}
        if not held:
            continue
        labels = metadata.get("labels") or {}
        ours = labels.get(names.LABEL_MANAGED_BY) == names.MANAGED_BY and names.LABEL_NAME in labels
        owner = f"{metadata['namespace']}/{labels[names.LABEL_NAME]}" if ours else OTHERS
        found.append(Holder(node, owner, labels.get(names.LABEL_KIND, "") if ours else "", held))
    return found


def uses(occupancy: Occupancy, nodes: Iterable[str], resource: str) -> list[Use]:
    """Return who holds a resource on the nodes, the largest first, other people's pods last."""
    chosen, total, ends = set(nodes), dict[str, Decimal](), dict[str, datetime | None]()
    for holder in occupancy.holders:
        amount = holder.amounts.get(resource, Decimal(0))
        if holder.node not in chosen or not amount:
            continue
        total[holder.owner] = total.get(holder.owner, Decimal(0)) + amount
        ends[holder.owner] = holder.ends
    found = [Use(owner, amount, ends[owner]) for owner, amount in total.items()]
    return sorted(found, key=lambda use: (use.owner == OTHERS, -use.amount, use.owner))


def free(occupancy: Occupancy, node: str, resource: str, capacity: Decimal) -> Decimal:
    """Return what is left of a resource on a node, as far as its holders are known."""
    held = [each.amounts.get(resource, Decimal(0)) for each in occupancy.holders if each.node == node]
    return capacity - sum(held, Decimal(0))
