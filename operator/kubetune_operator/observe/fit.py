"""Why a node can never take a pod, constraint by constraint; what only time changes is told apart."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ..plan import spot
from ..plan.accelerators import VENDORS
from .demand import Demand, Expression, holds, tolerates
from .nodes import NodeView

_GIB = 2**30
_PRODUCTS = {vendor.product_label for vendor in VENDORS.values()}
_MEMORIES = {vendor.memory_label: vendor.memory_unit for vendor in VENDORS.values()}
_SPOT = {key for key, _ in spot.LABELS} | {key for key, _ in spot.TAINTS}
#: Taints that come and go with the state of a node; ready and unschedulable tell of it.
_STATES = "node.kubernetes.io/"

#: What to change about each constraint.
REMEDIES = {
    "count": "lower resources.accelerator.count, or add a larger node",
    "product": "change resources.accelerator.product, or add such a node",
    "acceleratorMemory": "lower resources.accelerator.memory, or add such a node",
    "cpu": "lower resources.cpu, or add a larger node",
    "memory": "lower resources.memory, or add a larger node",
    "taint": "add the taint to scheduling.tolerations if the run may go there",
    "selector": "change scheduling.nodeSelector, or label a node",
    "spot": "set scheduling.spot: Allow, or add such a node",
}


@dataclass(frozen=True)
class Obstacle:
    """A constraint that a node does not meet."""

    constraint: str
    """A key of REMEDIES."""
    text: str
    """What the node has instead, to be read after its name."""


def obstacles(node: NodeView, demand: Demand) -> list[Obstacle]:
    """Return what no waiting mends on a node."""
    found = list(_amounts(node, demand))
    found += [each for key, value in demand.selector.items() if (each := _selected(node, key, value))]
    if demand.terms:
        unmet = [list(_unmet(node, term)) for term in demand.terms]
        closest = min(unmet, key=len)
        found += closest
    for taint in node.taints:
        if taint.get("effect") not in ("NoSchedule", "NoExecute") or str(taint.get("key", "")).startswith(_STATES):
            continue
        if not tolerates(demand.tolerations, taint):
            name = f"{taint.get('key')}={taint['value']}" if taint.get("value") else str(taint.get("key"))
            constraint = "spot" if taint.get("key") in _SPOT else "taint"
            found.append(Obstacle(constraint, f"has the taint {name}:{taint.get('effect')}, which is not tolerated"))
    return found


def amount_text(resource: str, amount: Decimal) -> str:
    """Return an amount as people write it, such as 64Gi of memory or 4 cores."""
    if resource == "memory":
        return f"{amount / _GIB:.4g}Gi of memory"
    return f"{amount.normalize():f} {'core' if amount == 1 else 'cores'}" if resource == "cpu" else f"{amount:f}"


def _amounts(node: NodeView, demand: Demand) -> Iterator[Obstacle]:
    for resource, wanted in demand.amounts.items():
        has = node.amount(resource)
        if has >= wanted or (resource not in node.allocatable and resource in ("cpu", "memory")):
            continue
        constraint = resource if resource in REMEDIES else "count"
        if constraint == "count":
            yield Obstacle(constraint, f"has {has:f} {resource} (asked: {wanted:f})")
        else:
            text = f"has {amount_text(resource, has)} (asked: {amount_text(resource, wanted)})"
            yield Obstacle(constraint, text)


def _unmet(node: NodeView, term: Sequence[Expression]) -> Iterator[Obstacle]:
    for expression in term:
        if not holds(expression, node.labels):
            yield _expression(node, expression)


def _selected(node: NodeView, key: str, value: str) -> Obstacle | None:
    return (
        None if node.labels.get(key) == value else _expression(node, {"key": key, "operator": "In", "values": [value]})
    )


def _expression(node: NodeView, expression: Expression) -> Obstacle:
    key = str(expression["key"])
    label, values = node.labels.get(key), [str(value) for value in expression.get("values") or []]
    if key in _PRODUCTS:
        return Obstacle("product", f"has {label or 'no label that tells the product'} (asked: {' or '.join(values)})")
    if key in _MEMORIES:
        return Obstacle("acceleratorMemory", f"has accelerators of {_memory(key, label)} (asked: more)")
    if key in _SPOT:
        wants = expression["operator"] == "In"
        return Obstacle("spot", "is no spot node" if wants else "is a spot node, which scheduling.spot avoids")
    wanted = f"{key}={' or '.join(values)}" if values else key
    negated = "not " if expression["operator"] in ("NotIn", "DoesNotExist") else ""
    has = f"the label {key}={label}" if label is not None else f"no label {key}"
    return Obstacle("selector", f"has {has} (asked: {negated}{wanted})")


def _memory(key: str, label: str | None) -> str:
    unit = _MEMORIES[key]
    if label is None:
        return "a size that no label tells"
    return f"{int(label) * unit / _GIB:.0f}Gi" if unit and label.isdigit() else label
