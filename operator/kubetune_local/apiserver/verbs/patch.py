"""Patch in its four forms."""

import json
from typing import Any

from kubetune_local.apiserver.cluster import Cluster, Request
from kubetune_local.apiserver.errors import bad_request, conflict, invalid, not_found, required, unsupported_media_type
from kubetune_local.apiserver.ownership.apply import apply
from kubetune_local.apiserver.patches.json_patch import json_patch
from kubetune_local.apiserver.patches.merge import merge_patch
from kubetune_local.apiserver.patches.strategic import strategic_merge
from kubetune_local.apiserver.storage.store import encode
from kubetune_local.apiserver.verbs.bodies import check_place, decode, from_storage, set_defaults
from kubetune_local.apiserver.verbs.create import store_new
from kubetune_local.apiserver.verbs.update import find, store_change

Obj = dict[str, Any]
JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
APPLY_CBOR = "application/apply-patch+cbor"


def patch(cluster: Cluster, request: Request, media: str, body: Any) -> tuple[Obj, bool]:
    """Change an object; returns it as stored, and whether it was created (an apply may)."""
    allowed = (
        [JSON_PATCH, MERGE, APPLY] if request.resource.custom is not None else [JSON_PATCH, MERGE, STRATEGIC, APPLY]
    )
    if media not in allowed:
        raise unsupported_media_type(", ".join([*allowed, APPLY_CBOR]))
    if media == APPLY:
        return _apply(cluster, request, body)
    old = find(cluster, request)
    served = from_storage(request.resource, old.copy())
    if media == JSON_PATCH:
        patched = json_patch(served, body)
    elif not isinstance(body, dict):
        raise bad_request("error decoding patch: a patch is an object")
    elif media == MERGE:
        patched = merge_patch(served, body)
    else:
        patched = strategic_merge(request.resource.schema, served, body)
    obj = decode(request, _own_copy(patched), patched=True)
    check_place(request, obj)
    return store_change(cluster, request, obj, old), False


def _own_copy(obj: Obj) -> Obj:
    copied: Obj = json.loads(encode(obj))
    return copied


def _apply(cluster: Cluster, request: Request, body: Any) -> tuple[Obj, bool]:
    resource = request.resource
    if not request.query.get("fieldManager"):
        error = required("fieldManager", "is required for apply patch")
        raise invalid("PatchOptions", "meta.k8s.io", "", [error])
    if not isinstance(body, dict):
        raise bad_request("error decoding YAML: the applied configuration is no object")
    for field in ("apiVersion", "kind"):
        if not body.get(field):
            raise bad_request(f"{field} must be set in an applied configuration")
    applied = decode(request, body, defaults=False)
    check_place(request, applied)
    metadata = applied["metadata"]
    if metadata.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    old = cluster.store.get(resource.collection, request.namespace, request.name)
    if old is None:
        return _create_applied(cluster, request, applied), True
    version = metadata.pop("resourceVersion", None)
    uid = metadata.pop("uid", None)
    live = from_storage(resource, old.copy())
    merged = _own_copy(apply(resource.schema, request, live, applied, cluster.now()))
    for field, claimed in (("resourceVersion", version), ("uid", uid)):
        if claimed:
            merged["metadata"][field] = claimed
    set_defaults(resource, merged)
    return store_change(cluster, request, merged, old, owned=True), False


def _create_applied(cluster: Cluster, request: Request, applied: Obj) -> Obj:
    resource = request.resource
    if request.subresource:
        raise not_found(resource.plural, resource.group, request.name)
    if uid := applied["metadata"].get("uid"):
        why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        raise conflict(resource.plural, resource.group, request.name, why)
    obj = _own_copy(apply(resource.schema, request, None, applied, cluster.now()))
    set_defaults(resource, obj)
    return store_new(cluster, request, obj, owned=True)
