"""Update: replace an object, or the part of it that a subresource shows."""

import json
from typing import Any

from kubetune_local.apiserver.cluster import Cluster, Request
from kubetune_local.apiserver.errors import FieldError, conflict, invalid, modified, not_found
from kubetune_local.apiserver.kinds.strategies import strategy_of
from kubetune_local.apiserver.ownership.owners import track_update
from kubetune_local.apiserver.storage.store import Stored, encode
from kubetune_local.apiserver.verbs.bodies import check_place, decode, from_storage, to_storage
from kubetune_local.apiserver.verbs.metadata import carry_metadata, metadata_errors

Obj = dict[str, Any]
_ENVELOPE = ("apiVersion", "kind", "metadata", "status")


def find(cluster: Cluster, request: Request) -> Stored:
    """Return the stored object of a request; StatusError 404 when there is none."""
    resource = request.resource
    stored = cluster.store.get(resource.collection, request.namespace, request.name)
    if stored is None:
        raise not_found(resource.plural, resource.group, request.name)
    return stored


def update(cluster: Cluster, request: Request, body: Any) -> Obj:
    """Replace an object; returns it as stored."""
    old = find(cluster, request)
    obj = decode(request, body)
    check_place(request, obj)
    if request.resource.custom is not None and not obj["metadata"].get("resourceVersion"):
        error = FieldError("FieldValueInvalid", "metadata.resourceVersion", 0, "must be specified for an update")
        raise invalid(request.resource.kind, request.resource.group, request.name, [error])
    return store_change(cluster, request, obj, old)


def store_change(cluster: Cluster, request: Request, obj: Obj, old: Stored, *, owned: bool = False) -> Obj:
    """Store a decoded object in place of `old`; `owned` tells that its managedFields are complete already."""
    resource, strategy = request.resource, strategy_of(request.resource)
    _check_preconditions(request, obj, old)
    before = old.copy()
    obj = to_storage(resource, obj)
    _merge_parts(request, obj, before)
    errors = carry_metadata(obj, before)
    strategy.prepare_update(cluster, request, obj, before)
    if strategy.generation and _spec_changed(request, obj, before):
        obj["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
    if resource.custom is None:
        errors += strategy.validate(cluster, obj)
    errors += metadata_errors(strategy, obj) + strategy.validate_update(cluster, obj, before)
    if errors:
        raise invalid(resource.kind, resource.group, request.name, errors)
    if not owned:
        track_update(resource.schema, request, obj, before, cluster.now())
    if _same(obj, before):
        return from_storage(resource, old.obj)
    if request.dry_run:
        return from_storage(resource, obj)
    return from_storage(resource, _write(cluster, request, obj, old))


def _write(cluster: Cluster, request: Request, obj: Obj, old: Stored) -> Obj:
    resource, strategy = request.resource, strategy_of(request.resource)
    if finished(obj):
        last = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(old.version)}}
        gone = cluster.store.remove(resource.collection, Stored(last, encode(last), old.version))
        strategy.removed(cluster, gone.obj)
        return gone.obj
    stored = cluster.store.put(resource.collection, obj)
    strategy.stored(cluster, stored.obj)
    return stored.obj


def finished(obj: Obj) -> bool:
    """Whether a terminating object has nothing left to wait for."""
    metadata = obj["metadata"]
    if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
        return False
    if obj["kind"] == "Namespace" and obj.get("spec", {}).get("finalizers"):
        return False
    return not metadata.get("deletionGracePeriodSeconds")


def _check_preconditions(request: Request, obj: Obj, old: Stored) -> None:
    resource, metadata = request.resource, obj["metadata"]
    uid = old.obj["metadata"]["uid"]
    if metadata.get("uid") and metadata["uid"] != uid:
        why = f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {uid}"
        raise conflict(resource.plural, resource.group, request.name, why)
    if metadata.get("resourceVersion") and metadata["resourceVersion"] != str(old.version):
        raise modified(resource.plural, resource.group, request.name)


def _merge_parts(request: Request, obj: Obj, old: Obj) -> None:
    """Keep of the old object what this request cannot write."""
    if request.subresource in ("status", "finalize"):
        for key in set(obj) | set(old):
            if key not in _ENVELOPE and not (request.subresource == "finalize" and key == "spec"):
                _restore(obj, old, key)
        if request.resource.custom is not None:
            claimed = obj["metadata"].get("managedFields")
            version = obj["metadata"].get("resourceVersion")
            obj["metadata"] = json.loads(encode(old["metadata"]))
            if claimed:
                obj["metadata"]["managedFields"] = claimed
            if version:
                obj["metadata"]["resourceVersion"] = version
        elif "ownerReferences" in old["metadata"]:
            obj["metadata"]["ownerReferences"] = old["metadata"]["ownerReferences"]
    elif request.resource.has_status:
        _restore(obj, old, "status")


def _restore(obj: Obj, old: Obj, key: str) -> None:
    if key in old:
        obj[key] = old[key]
    else:
        obj.pop(key, None)


def _spec_changed(request: Request, obj: Obj, old: Obj) -> bool:
    """Generation counts changes of what is wanted: all but metadata, and status where that is a subresource."""
    if request.subresource == "status":
        return False
    apart = ("metadata", "apiVersion", "status") if request.resource.has_status else ("metadata", "apiVersion")
    return {key: obj[key] for key in obj if key not in apart} != {key: old[key] for key in old if key not in apart}


def _same(obj: Obj, old: Obj) -> bool:
    """Whether a write changes nothing; the time of a managedFields entry alone is nothing."""
    return _comparable(obj) == _comparable(old)


def _comparable(obj: Obj) -> Obj:
    metadata = {key: value for key, value in obj["metadata"].items() if key not in ("resourceVersion", "managedFields")}
    owners = [{**entry, "time": ""} for entry in obj["metadata"].get("managedFields", ())]
    return {**obj, "metadata": metadata, "managedFields": owners}
