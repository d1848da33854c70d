"""Nodes that a run stays away from, because an attempt on them stalled or was lost."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..plan.plan import Placement

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_HOST = "kubernetes.io/hostname"


def avoiding(placement: Placement, nodes: Sequence[str]) -> Placement:
    """Return a placement without the nodes: each of its terms, any of which must hold, says so as well."""
    if not nodes:
        return placement
    affinity: Mapping[str, Any] = placement.node_affinity or {}
    required: Mapping[str, Any] = affinity.get(_REQUIRED, {})
    away = {"key": _HOST, "operator": "NotIn", "values": list(nodes)}
    terms = [
        {**term, "matchExpressions": [*term.get("matchExpressions", []), away]}
        for term in required.get("nodeSelectorTerms", [{}])
    ]
    return replace(placement, node_affinity={**affinity, _REQUIRED: {**required, "nodeSelectorTerms": terms}})
