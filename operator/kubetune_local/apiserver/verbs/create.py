"""Create."""

import uuid
from typing import Any

from kubetune_local.apiserver.cluster import NAMESPACES, Cluster, Request
from kubetune_local.apiserver.errors import already_exists, invalid, not_found
from kubetune_local.apiserver.kinds.core import namespace_terminating
from kubetune_local.apiserver.kinds.strategies import strategy_of
from kubetune_local.apiserver.names import generated_name
from kubetune_local.apiserver.ownership.owners import track_update
from kubetune_local.apiserver.verbs.bodies import check_place, decode, from_storage, status_error, to_storage
from kubetune_local.apiserver.verbs.metadata import metadata_errors

Obj = dict[str, Any]
_SERVER_SET = ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation")
_GENERATE_TRIES = 8


def create(cluster: Cluster, request: Request, body: Any) -> Obj:
    """Create an object; returns it as stored."""
    return store_new(cluster, request, decode(request, body))


def store_new(cluster: Cluster, request: Request, obj: Obj, *, owned: bool = False) -> Obj:
    """Store a decoded object as a new one; `owned` tells that its managedFields are complete already."""
    resource, strategy, metadata = request.resource, strategy_of(request.resource), obj["metadata"]
    if metadata.get("resourceVersion"):
        raise status_error("resourceVersion should not be set on objects to be created")
    metadata.pop("resourceVersion", None)
    check_place(request, obj)
    _name(cluster, request, metadata)
    _check_namespace(cluster, request, metadata)
    for field in _SERVER_SET:
        metadata.pop(field, None)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = cluster.now()
    if strategy.generation:
        metadata["generation"] = 1
    stored_form = to_storage(resource, obj)
    strategy.prepare_create(cluster, request, stored_form)
    errors = metadata_errors(strategy, stored_form) + strategy.validate(cluster, stored_form)
    if errors:
        raise invalid(resource.kind, resource.group, metadata.get("name", ""), errors)
    if cluster.store.get(resource.collection, request.namespace, metadata["name"]) is not None:
        raise already_exists(resource.plural, resource.group, metadata["name"])
    if not owned:
        stored_form["metadata"].pop("managedFields", None)
        track_update(resource.schema, request, stored_form, None, cluster.now())
    if strategy.warning:
        request.warnings.append(strategy.warning)
    if request.dry_run:
        return from_storage(resource, stored_form)
    stored = cluster.store.put(resource.collection, _detached(stored_form))
    strategy.stored(cluster, stored.obj)
    return from_storage(resource, stored.obj)


def _detached(obj: Obj) -> Obj:
    """Put apiVersion and kind first; the store keeps what it is given, so it gets an object of its own."""
    head = {key: obj[key] for key in ("apiVersion", "kind", "metadata")}
    return {**head, **{key: value for key, value in obj.items() if key not in head}}


def _name(cluster: Cluster, request: Request, metadata: Obj) -> None:
    prefix = metadata.get("generateName")
    if metadata.get("name") or not prefix:
        return
    for _ in range(_GENERATE_TRIES):
        metadata["name"] = generated_name(prefix)
        if cluster.store.get(request.resource.collection, request.namespace, metadata["name"]) is None:
            return


def _check_namespace(cluster: Cluster, request: Request, metadata: Obj) -> None:
    if not request.resource.namespaced:
        return
    namespace = cluster.store.get(NAMESPACES, "", request.namespace)
    if namespace is None:
        raise not_found("namespaces", "", request.namespace)
    if "deletionTimestamp" in namespace.obj["metadata"]:
        resource = request.resource
        raise namespace_terminating(resource.plural, resource.group, metadata.get("name", ""), request.namespace)
