"""JSON merge patch (RFC 7386)."""

from typing import Any


def merge_patch(value: Any, patch: Any) -> Any:
    """Return `value` with `patch` merged in; null removes a key."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(value) if isinstance(value, dict) else {}
    for key, item in patch.items():
        if item is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), item)
    return merged
