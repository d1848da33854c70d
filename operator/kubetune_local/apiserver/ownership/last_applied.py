"""From client-side to server-side apply: kubectl takes over without conflicts what it has applied by itself before.

Source: `k8s.io/apimachinery/pkg/util/managedfields/internal/lastappliedmanager.go` and `lastappliedupdater.go`.
"""

import json
from collections.abc import Callable
from typing import Any

from kubetune_local.apiserver.cluster import Request
from kubetune_local.apiserver.ownership.owners import values
from kubetune_local.apiserver.ownership.paths import Path
from kubetune_local.apiserver.schema.node import Node

Obj = dict[str, Any]
ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
_MANAGER = "kubectl"


def last_applied_paths(node: Node, request: Request, live: Obj | None, own: Callable[[Path], bool]) -> set[Path]:
    """Return the fields that kubectl has set by client-side apply; another manager may not take them like that."""
    text = _annotation(live) if live is not None and request.manager == _MANAGER else None
    try:
        applied = json.loads(text) if text else None
    except ValueError:
        return set()
    return set(values(node, applied, own)) if isinstance(applied, dict) else set()


def follow_last_applied(request: Request, merged: Obj, applied: Obj) -> None:
    """Let the annotation tell what was applied now, so that a client-side apply may follow."""
    if request.manager != _MANAGER or _annotation(merged) is None:
        return
    text = json.dumps(_without_annotation(applied), separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    merged["metadata"]["annotations"] = {**merged["metadata"]["annotations"], ANNOTATION: text + "\n"}


def _annotation(obj: Obj) -> str | None:
    found = (obj["metadata"].get("annotations") or {}).get(ANNOTATION)
    return found if isinstance(found, str) else None


def _without_annotation(obj: Obj) -> Obj:
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    if ANNOTATION in (metadata.get("annotations") or {}):
        metadata["annotations"] = {key: value for key, value in metadata["annotations"].items() if key != ANNOTATION}
    return {**obj, "metadata": metadata}
