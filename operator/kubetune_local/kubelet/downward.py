"""The downward API: what a pod may be told about itself, in variables and files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

from kubetune_local.apiserver.schema.quantity import parse_quantity

JSON = dict[str, Any]

_KEYED = re.compile(r"^metadata\.(labels|annotations)\['([^']*)'\]$")
_PLACES = {
    "metadata.name": ("metadata", "name"),
    "metadata.namespace": ("metadata", "namespace"),
    "metadata.uid": ("metadata", "uid"),
    "spec.nodeName": ("spec", "nodeName"),
    "spec.serviceAccountName": ("spec", "serviceAccountName"),
}
ADDRESS = "127.0.0.1"


class Unresolvable(ValueError):
    """The pod refers to something that cannot be told; the message says what."""


def field(pod: JSON, path: str) -> str:
    """Return the text of a `fieldRef`."""
    if path in _PLACES:
        section, name = _PLACES[path]
        return str(pod.get(section, {}).get(name, ""))
    if path in ("status.podIP", "status.podIPs", "status.hostIP", "status.hostIPs"):
        return ADDRESS
    if match := _KEYED.match(path):
        return str((pod["metadata"].get(match.group(1)) or {}).get(match.group(2), ""))
    if path in ("metadata.labels", "metadata.annotations"):
        entries = pod["metadata"].get(path.partition(".")[2]) or {}
        return "\n".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in sorted(entries.items()))
    raise Unresolvable(f"unsupported fieldPath: {path}")


def resource(container: JSON, reference: JSON, allocatable: Mapping[str, str]) -> str:
    """Return the number of a `resourceFieldRef`: limits fall back to what the node has."""
    section, _, name = reference["resource"].partition(".")
    if section not in ("limits", "requests") or not name:
        raise Unresolvable(f"unsupported container resource: {reference['resource']}")
    resources = container.get("resources") or {}
    amount = (resources.get(section) or {}).get(name)
    if amount is None:
        amount = allocatable.get(name, "0") if section == "limits" else "0"
    divisor = parse_quantity(str(reference.get("divisor") or "1")) or Decimal(1)
    return str(int((parse_quantity(str(amount)) / divisor).to_integral_value(ROUND_CEILING)))


def container_of(pod: JSON, name: str) -> JSON:
    """Return a container of a pod by name, or an empty one."""
    every = [*pod["spec"].get("containers", []), *pod["spec"].get("initContainers", [])]
    return next((container for container in every if container["name"] == name), {})
