"""Delete and deletecollection: at once, or gracefully, or when the finalizers are gone."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from kubetune_local import timestamps
from kubetune_local.apiserver.cluster import Cluster, Request
from kubetune_local.apiserver.errors import bad_request, conflict, invalid, unsupported
from kubetune_local.apiserver.kinds.custom import CLEANUP
from kubetune_local.apiserver.kinds.strategies import strategy_of
from kubetune_local.apiserver.kinds.strategy import Strategy
from kubetune_local.apiserver.storage.store import Stored, encode
from kubetune_local.apiserver.verbs.bodies import from_storage
from kubetune_local.apiserver.verbs.read import list_objects
from kubetune_local.apiserver.verbs.update import find, finished

Obj = dict[str, Any]
ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
_POLICIES = {"Orphan": ORPHAN, "Foreground": FOREGROUND, "Background": ""}
_WILL_ORPHAN = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set"
    " propagationPolicy=Orphan to suppress this warning"
)


@dataclass(frozen=True)
class Options:
    """DeleteOptions."""

    grace: int | None = None
    policy: str = ""
    uid: str = ""
    version: str = ""


def read_options(request: Request, body: Any) -> Options:
    """Read the options from body and query; StatusError 422 for an unknown policy."""
    body = body if isinstance(body, dict) else {}
    if body and body.get("kind", "DeleteOptions") != "DeleteOptions":
        raise bad_request("expect DeleteOptions as the body of a deletion")
    grace = body.get("gracePeriodSeconds", request.query.get("gracePeriodSeconds"))
    policy = body.get("propagationPolicy") or request.query.get("propagationPolicy", "")
    orphan = body.get("orphanDependents", request.query.get("orphanDependents"))
    if not policy and orphan is not None:
        policy = "Orphan" if orphan in (True, "true", "1") else "Background"
    if policy and policy not in _POLICIES:
        error = unsupported("propagationPolicy", policy, ["Background", "Foreground", "Orphan"])
        raise invalid("DeleteOptions", "meta.k8s.io", "", [error])
    if body.get("dryRun"):
        request.query["dryRun"] = "All"
    preconditions = body.get("preconditions") or {}
    return Options(
        int(grace) if grace is not None else None,
        policy,
        preconditions.get("uid", ""),
        preconditions.get("resourceVersion", ""),
    )


def delete(cluster: Cluster, request: Request, options: Options) -> tuple[Obj, bool]:
    """Delete an object; returns its last or present state, and whether it is gone."""
    stored = find(cluster, request)
    strategy = strategy_of(request.resource)
    _check_preconditions(request, options, stored)
    strategy.before_delete(cluster, stored.obj)
    if strategy.orphans and not options.policy:
        request.warnings.append(_WILL_ORPHAN)
    obj = stored.copy()
    if not request.dry_run:
        _empty(cluster, strategy, obj)
    _terminate(cluster, strategy, obj, options)
    if finished(obj):
        if not request.dry_run:
            stored = cluster.store.remove(request.resource.collection, stored)
            strategy.removed(cluster, stored.obj)
        return from_storage(request.resource, stored.obj), True
    if encode(obj) != stored.raw and not request.dry_run:
        obj = cluster.store.put(request.resource.collection, obj).obj
    return from_storage(request.resource, obj), False


def _empty(cluster: Cluster, strategy: Strategy, obj: Obj) -> None:
    """Delete the objects of a definition; it stays until those that wait for a finalizer are gone."""
    for resource in strategy.content(cluster, obj):
        for stored in cluster.store.list(resource.collection):
            delete(cluster, Request(resource, stored.namespace, stored.name), Options(policy="Background"))
        finalizers = obj["metadata"].setdefault("finalizers", [])
        if cluster.store.list(resource.collection) and CLEANUP not in finalizers:
            finalizers.append(CLEANUP)


def _check_preconditions(request: Request, options: Options, stored: Stored) -> None:
    resource, metadata = request.resource, stored.obj["metadata"]
    for name, wanted, found in (
        ("UID", options.uid, metadata["uid"]),
        ("ResourceVersion", options.version, metadata["resourceVersion"]),
    ):
        if wanted and wanted != found:
            why = (
                f"the {name} in the precondition ({wanted}) does not match the {name} in record ({found})."
                " The object might have been deleted and then recreated"
            )
            raise conflict(resource.plural, resource.group, request.name, why)


def _terminate(cluster: Cluster, strategy: Strategy, obj: Obj, options: Options) -> None:
    """Mark an object as terminating: what waits for its dependents, and until when, stands in its metadata."""
    metadata = obj["metadata"]
    _set_finalizer(strategy, metadata, options.policy)
    grace = strategy.grace_seconds(obj, options.grace)
    if "deletionTimestamp" in metadata:
        if grace >= metadata.get("deletionGracePeriodSeconds", 0):
            return
        begun = metadata.get("deletionGracePeriodSeconds", 0)
    else:
        begun = None
        if "generation" in metadata:
            metadata["generation"] += 1
    if begun is None or grace < begun:
        metadata["deletionTimestamp"] = timestamps.rfc3339(cluster.clock() + timedelta(seconds=grace))
        metadata["deletionGracePeriodSeconds"] = grace
    if begun is None:
        strategy.on_terminating(cluster, obj)


def _set_finalizer(strategy: Strategy, metadata: Obj, policy: str) -> None:
    if not policy:
        policy = "Orphan" if strategy.orphans else ""
        if not policy:
            return
    others = [item for item in metadata.get("finalizers", []) if item not in (ORPHAN, FOREGROUND)]
    wanted = _POLICIES[policy]
    finalizers = [*others, wanted] if wanted else others
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)


def delete_collection(cluster: Cluster, request: Request, options: Options) -> list[Obj]:
    """Delete what a request selects; returns the objects."""
    deleted = []
    for stored in list_objects(cluster, request).items:
        one = Request(
            request.resource,
            stored.namespace,
            stored.name,
            query=request.query,
            manager=request.manager,
            warnings=request.warnings,
        )
        deleted.append(delete(cluster, one, options)[0])
    return deleted


def answer(request: Request, obj: Obj, gone: bool) -> Obj:
    """Return what a deletion is answered with: the object when that tells more, else a Status."""
    if not gone or strategy_of(request.resource).returns_deleted:
        return obj
    resource = request.resource
    details = {"name": request.name, "group": resource.group, "kind": resource.plural, "uid": obj["metadata"]["uid"]}
    details = {key: value for key, value in details.items() if value}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
