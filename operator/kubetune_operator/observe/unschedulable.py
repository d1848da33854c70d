"""A pod that no node takes: impossible, busy, held back by a volume, or by nodes that are closed just now."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kubetune_api.resources import Resources

from .demand import Demand
from .fit import REMEDIES, Obstacle, amount_text, obstacles
from .nodes import NodeView, inventory
from .occupancy import OTHERS, Occupancy, Use, free, uses

_ZONE = ("volume node affinity conflict", "PersistentVolume's node affinity", "no available volume zone")
_NAMED = 5


@dataclass(frozen=True)
class Finding:
    """Why no node takes a pod."""

    cause: str
    """Impossible, Busy, Closed, VolumeElsewhere or Unknown."""
    message: str
    ends: datetime | None = None
    """When the first of those that hold what is needed should end, by its own estimate."""


def find(
    demand: Demand,
    resources: Resources,
    nodes: Sequence[NodeView] | None,
    occupancy: Occupancy | None,
    said: str,
) -> Finding:
    """Return why no node takes a pod; `said` is the scheduler's own message."""
    what, resource = _what(demand, resources), next(iter(demand.extended), None)
    quoted = f" (scheduler: {said})" if said else ""
    if nodes is None:
        remedy = "Add a node that offers it, or set resources.accelerator.count: 0"
        lower = "Add a node, or lower resources.cpu or resources.memory"
        return Finding("Unknown", f"{what}{quoted}. {remedy if resource else lower}")
    offering = [node for node in nodes if resource is None or node.amount(resource) > 0]
    if not offering:
        message = f"{what}: no node offers it ({inventory(nodes)})"
        return Finding("Impossible", f"{message}. Add a node with {resource}, or set resources.accelerator.count: 0")
    lacks = {node.name: obstacles(node, demand) for node in offering}
    fitting = [node for node in offering if not lacks[node.name]]
    if not fitting:
        return _impossible(what, offering, lacks)
    open_nodes = [node for node in fitting if node.ready and not node.unschedulable]
    if not open_nodes:
        return _closed(what, fitting)
    if any(phrase in said for phrase in _ZONE):
        message = f"{what}: the volume of the run lies in a zone where no node has room{quoted}"
        remedy = (
            "Wait for a node there, or name a workspace.storageClassName with volumeBindingMode WaitForFirstConsumer"
        )
        return Finding("VolumeElsewhere", f"{message}. {remedy}")
    if resource is None:
        return Finding(
            "Busy", f"{what}: {_nodes(open_nodes)} could take it, but not now{quoted}. It starts when one has room"
        )
    return _busy(what, open_nodes, resource, demand, occupancy or Occupancy())


def _what(demand: Demand, resources: Resources) -> str:
    extended = demand.extended
    if not extended:
        amounts = [amount_text(name, demand.amounts[name]) for name in ("cpu", "memory") if name in demand.amounts]
        return f"needs {' and '.join(amounts) or 'a node'}"
    (name, count), wanted = next(iter(extended.items())), resources.accelerator
    parts = [f"needs {count:f} x {(wanted.product if name == wanted.resource_name else None) or name}"]
    if wanted.memory and name == wanted.resource_name:
        parts.append(f"with {wanted.memory} each")
    if resources.nodes > 1:
        parts.append(f"on each of {resources.nodes} nodes")
    elif count > 1:
        parts.append("on one node")
    return " ".join(parts)


def _nodes(nodes: Sequence[NodeView]) -> str:
    return f"node {nodes[0].name}" if len(nodes) == 1 else f"{len(nodes)} nodes"


def _impossible(what: str, nodes: Sequence[NodeView], lacks: dict[str, list[Obstacle]]) -> Finding:
    """Name the nodes that miss the least, and what they miss."""
    least = min(len(found) for found in lacks.values())
    near = [node for node in nodes if len(lacks[node.name]) == least]
    texts = Counter(" and ".join(each.text for each in lacks[node.name]) for node in near)
    first = {" and ".join(each.text for each in lacks[node.name]): node.name for node in reversed(near)}
    told = [
        f"node {first[text]} {text}" if count == 1 else f"{count} nodes like {first[text]}: each {text}"
        for text, count in sorted(texts.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
    ]
    constraints = dict.fromkeys(each.constraint for node in near for each in lacks[node.name])
    remedies = [REMEDIES[constraint] for constraint in constraints][:3]
    remedy = "; ".join(remedies)
    message = f"{what}: no node can ever take it ({inventory(nodes)}). Nearest: {'; '.join(told)}"
    return Finding("Impossible", f"{message}. To do: {remedy}")


def _closed(what: str, nodes: Sequence[NodeView]) -> Finding:
    cordoned = [node.name for node in nodes if node.unschedulable]
    down = [node.name for node in nodes if not node.ready and not node.unschedulable]
    parts = [f"{_list(cordoned)} {_is(cordoned)} cordoned"] if cordoned else []
    parts += [f"{_list(down)} {_is(down)} not ready"] if down else []
    remedy = (
        f"`kubectl uncordon {cordoned[0]}` opens it again" if cordoned else f"See `kubectl describe node {down[0]}`"
    )
    return Finding("Closed", f"{what}: {_nodes(nodes)} could take it, but {' and '.join(parts)}. {remedy}")


def _busy(what: str, nodes: Sequence[NodeView], resource: str, demand: Demand, occupancy: Occupancy) -> Finding:
    wanted = demand.amounts[resource]
    left = {node.name: free(occupancy, node.name, resource, node.amount(resource)) for node in nodes}
    users = uses(occupancy, left, resource)
    have = f"node {nodes[0].name} has them" if len(nodes) == 1 else f"{len(nodes)} nodes have them"
    by = _list([_user(use) for use in users])
    if occupancy.complete and any(amount >= wanted for amount in left.values()):
        return Finding("Busy", f"{what}; {have}, and enough are free, but not the cores, memory or volume beside them")
    if not occupancy.complete and any(amount > 0 for amount in left.values()):
        by = f"{by} and {OTHERS}" if by else OTHERS
    spare = occupancy.complete and any(amount > 0 for amount in left.values())
    state = f"with fewer than {wanted:f} free on each; in use by" if spare else "all in use by"
    ends = min((use.ends for use in users if use.ends is not None), default=None)
    first = next((use.owner for use in users if ends is not None and use.ends == ends), None)
    until = f"; {first} should end first, about {_hour(ends)} by its own estimate" if ends and first else ""
    return Finding("Busy", f"{what}; {have}, {state} {by}{until}. It starts when enough of them are free", ends)


def _user(use: Use) -> str:
    return f"{use.owner} ({use.amount:f})"


def _hour(moment: datetime) -> str:
    """Return the full hour by which something happens: an exact estimate would change at every look."""
    rounded = (moment + timedelta(minutes=59, seconds=59)).replace(minute=0, second=0, microsecond=0)
    return f"{rounded:%Y-%m-%d %H:00} UTC"


def _list(items: Sequence[str]) -> str:
    shown = ", ".join(items[:_NAMED])
    return shown + (f" and {len(items) - _NAMED} more" if len(items) > _NAMED else "")


def _is(items: Sequence[str]) -> str:
    return "is" if len(items) == 1 else "are"
