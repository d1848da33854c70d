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


def is_over(manifest: Mapping[str, Any]) -> bool:
    """Return whether the run of a manifest is over."""
    entries = (manifest.get("status") or {}).get("conditions") or []
    return any(entry.get("type") in ("Succeeded", "Failed") and entry.get("status") == "True" for entry in entries)


def is_settled(manifest: Mapping[str, Any]) -> bool:
    """Return whether nothing is left to do about a manifest: its run is over, told of, and not to be deleted."""
    status, spec = manifest.get("status") or {}, manifest.get("spec") or {}
    told = status.get("observedGeneration") == manifest["metadata"].get("generation")
    return is_over(manifest) and told and spec.get("ttlSecondsAfterFinished") is None
