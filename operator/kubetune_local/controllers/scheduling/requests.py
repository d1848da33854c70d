"""What a pod asks for, and what a node has left."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from kubetune_local.apiserver.schema.quantity import parse_quantity

JSON = dict[str, Any]
Amounts = dict[str, Decimal]


def requests_of(pod: JSON) -> Amounts:
    """Return the effective requests of a pod (KEP-753): sidecars add up, other init containers run one by one."""
    spec = pod["spec"]
    total: Amounts = {}
    for container in spec["containers"]:
        _add(total, _requests(container))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        own = _requests(container)
        if container.get("restartPolicy") == "Always":
            _add(total, own)
            _add(sidecars, own)
        else:
            _add(own, sidecars)
            _raise(peak, own)
    _raise(peak, sidecars)
    _raise(total, peak)
    total |= _requests(spec)
    _add(total, _parsed(spec.get("overhead")))
    return total


def allocatable(node: JSON) -> Amounts:
    """Return what pods may have of a node."""
    return _parsed(node.get("status", {}).get("allocatable"))


def used_by(pods: Iterable[JSON]) -> Amounts:
    """Return the sum of what pods ask for, each of them a pod itself."""
    total: Amounts = {}
    for pod in pods:
        _add(total, requests_of(pod))
        _add(total, {"pods": Decimal(1)})
    return total


def lacking(wanted: Amounts, has: Amounts, used: Amounts) -> list[str]:
    """Return the names of resources that do not suffice."""
    return [
        name
        for name, amount in wanted.items()
        if amount > 0 and amount > has.get(name, Decimal(0)) - used.get(name, Decimal(0))
    ]


def _requests(holder: JSON) -> Amounts:
    return _parsed((holder.get("resources") or {}).get("requests"))


def _parsed(amounts: JSON | None) -> Amounts:
    return {name: parse_quantity(str(amount)) for name, amount in (amounts or {}).items()}


def _add(total: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, Decimal(0)) + amount


def _raise(total: Amounts, least: Amounts) -> None:
    for name, amount in least.items():
        total[name] = max(total.get(name, Decimal(0)), amount)
