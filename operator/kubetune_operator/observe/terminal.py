"""Terminal is terminal: checked first, before children are looked for."""

from collections.abc import Mapping, Sequence
from typing import Any

from kubetune_api.conditions import Condition


def condition(conditions: Sequence[Condition], type_: str) -> Condition | None:
    """Return the condition of a type."""
    return next((entry for entry in conditions if entry.type == type_), None)


def holds(conditions: Sequence[Condition], type_: str) -> bool:
    """Return whether a condition is True."""
    found = condition(conditions, type_)
    return found is not None and found.status == "True"


def is_terminal(conditions: Sequence[Condition]) -> bool:
    """Return whether a run is over."""
    return holds(conditions, "Succeeded") or holds(conditions, "Failed")


def is_settled(manifest: Mapping[str, Any]) -> bool:
    """Return whether nothing is left to do about a manifest: its run is over, told of, and not to be deleted."""
    status, spec = manifest.get("status") or {}, manifest.get("spec") or {}
    entries = status.get("conditions") or []
    over = any(entry.get("type") in ("Succeeded", "Failed") and entry.get("status") == "True" for entry in entries)
    told = status.get("observedGeneration") == manifest["metadata"].get("generation")
    return over and told and spec.get("ttlSecondsAfterFinished") is None
