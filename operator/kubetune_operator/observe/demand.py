"""What a pod asks of a node: amounts, labels, and the taints that it bears."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from kubetune_api.fields import quantity_value
from kubetune_api.resources import Resources

from ..plan.accelerators import match_expressions

Expression = Mapping[str, Any]
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True)
class Demand:
    """What a node must offer."""

    amounts: Mapping[str, Decimal]
    """By resource: cpu in cores, memory in bytes, extended resources in pieces."""
    selector: Mapping[str, str]
    terms: Sequence[Sequence[Expression]]
    """Node affinity: any of them must hold, each is a list of expressions that all must; none asks for nothing."""
    tolerations: Sequence[Mapping[str, Any]]

    @property
    def extended(self) -> dict[str, Decimal]:
        """The resources besides cpu, memory and storage."""
        return {name: amount for name, amount in self.amounts.items() if "/" in name and amount > 0}


def demand_of(spec: Mapping[str, Any]) -> Demand | None:
    """Return what the spec of a pod asks for; None for one without containers."""
    if not spec.get("containers"):
        return None
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    terms = (affinity.get(_REQUIRED) or {}).get("nodeSelectorTerms") or []
    return Demand(
        amounts=amounts_of(spec),
        selector=spec.get("nodeSelector") or {},
        terms=[term.get("matchExpressions") or [] for term in terms],
        tolerations=spec.get("tolerations") or [],
    )


def demand_for(resources: Resources, *, accelerated: bool) -> Demand:
    """Return what a pod of these resources asks for."""
    wanted = resources.accelerator
    amounts = {"cpu": quantity_value(resources.cpu), "memory": quantity_value(resources.memory)}
    if not accelerated or wanted.count == 0:
        return Demand(amounts, {}, (), ())
    expressions = list(match_expressions(wanted))
    bears = {"key": wanted.resource_name, "operator": "Exists", "effect": "NoSchedule"}
    amounts[wanted.resource_name] = Decimal(wanted.count)
    return Demand(amounts, {}, [expressions] if expressions else (), [bears])


def amounts_of(spec: Mapping[str, Any]) -> dict[str, Decimal]:
    """Return the requests of a pod: the sum of its containers."""
    total: dict[str, Decimal] = {}
    for container in spec.get("containers") or []:
        resources = container.get("resources") or {}
        asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        for name, amount in _quantities(asked):
            total[name] = total.get(name, Decimal(0)) + amount
    return total


def _quantities(asked: Mapping[str, Any]) -> Iterator[tuple[str, Decimal]]:
    for name, text in asked.items():
        try:
            yield name, quantity_value(str(text))
        except ValueError:
            continue


def tolerates(tolerations: Sequence[Mapping[str, Any]], taint: Mapping[str, str]) -> bool:
    """Tell whether any of the tolerations bears a taint."""
    return any(_bears(toleration, taint) for toleration in tolerations)


def _bears(toleration: Mapping[str, Any], taint: Mapping[str, str]) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return not toleration.get("key") or toleration["key"] == taint.get("key")
    same_key = toleration.get("key") == taint.get("key")
    return same_key and (toleration.get("value") or "") == (taint.get("value") or "")


def holds(expression: Expression, labels: Mapping[str, str]) -> bool:
    """Tell whether labels fit a node selector requirement."""
    key, values = str(expression["key"]), [str(value) for value in expression.get("values") or []]
    label = labels.get(key)
    match expression["operator"]:
        case "In":
            return label in values
        case "NotIn":
            return label not in values
        case "Exists":
            return label is not None
        case "DoesNotExist":
            return label is None
        case "Gt" | "Lt" as operator:
            if label is None or not label.isdigit() or not values[0].isdigit():
                return False
            return int(label) > int(values[0]) if operator == "Gt" else int(label) < int(values[0])
    return True
