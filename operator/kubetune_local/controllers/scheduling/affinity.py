"""Node selectors, node affinity, taints and tolerations."""

from __future__ import annotations

from typing import Any

JSON = dict[str, Any]

HARD = ("NoSchedule", "NoExecute")


def wants_node(pod: JSON, node: JSON) -> bool:
    """Return whether nodeSelector and the required node affinity of a pod allow a node."""
    labels, spec = node["metadata"].get("labels") or {}, pod["spec"]
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    return selects(affinity.get("requiredDuringSchedulingIgnoredDuringExecution"), node)


def named_nodes(pod: JSON) -> set[str] | None:
    """Return the only nodes that a pod can go to, where each term of its required affinity names some; else None."""
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    selector = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    names: set[str] = set()
    for term in selector.get("nodeSelectorTerms") or ():
        fields = [each for each in term.get("matchFields") or () if each["operator"] == "In"]
        if not fields:
            return None
        names |= set.intersection(*(set(each["values"]) for each in fields))
    return names or None


def selects(selector: JSON | None, node: JSON) -> bool:
    """Return whether one of the terms of a NodeSelector fits; no selector fits every node."""
    if selector is None:
        return True
    return any(_term(term, node) for term in selector.get("nodeSelectorTerms") or ())


def _term(term: JSON, node: JSON) -> bool:
    labels, fields = node["metadata"].get("labels") or {}, {"metadata.name": node["metadata"]["name"]}
    expressions, on_fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not on_fields:
        return False
    return all(_holds(each, labels) for each in expressions) and all(_holds(each, fields) for each in on_fields)


def _holds(requirement: JSON, labels: dict[str, str]) -> bool:
    found, operator = labels.get(requirement["key"]), requirement["operator"]
    values = requirement.get("values") or []
    if operator == "In":
        return found in values
    if operator == "NotIn":
        return found not in values
    if operator == "Exists":
        return found is not None
    if operator == "DoesNotExist":
        return found is None
    try:
        number, bound = int(found or ""), int(values[0])
    except ValueError:
        return False
    return number > bound if operator == "Gt" else number < bound


def untolerated(pod: JSON, node: JSON) -> JSON | None:
    """Return the first taint of a node that keeps the pod away."""
    tolerations = pod["spec"].get("tolerations") or []
    for taint in node.get("spec", {}).get("taints") or ():
        if taint["effect"] in HARD and not any(tolerates(each, taint) for each in tolerations):
            found: JSON = taint
            return found
    return None


def tolerates(toleration: JSON, taint: JSON) -> bool:
    """Return whether a toleration covers a taint."""
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and toleration.get("value", "") == taint.get("value", "")
