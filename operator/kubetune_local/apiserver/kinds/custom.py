"""Custom resources: schema and rules come from the CRD's version entry."""

from typing import Any

from kubetune_local.apiserver.cluster import Cluster, Request
from kubetune_local.apiserver.errors import FieldError
from kubetune_local.apiserver.kinds.strategy import Strategy
from kubetune_local.apiserver.resources import Resource
from kubetune_local.apiserver.schema.validate import validate

Obj = dict[str, Any]
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""Finalizer of a CRD that waits for its objects to go."""
_DEFINITIONS = ("apiextensions.k8s.io", "customresourcedefinitions")


class CustomStrategy(Strategy):
    """Objects of one CRD."""

    generation = True

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        fields = (resource.custom or {}).get("selectableFields") or ()
        self.selectable = tuple(item["jsonPath"].lstrip(".") for item in fields)

    def prepare_create(self, cluster: Cluster, request: Request, obj: Obj) -> None:
        """The status belongs to its subresource."""
        if self._resource.has_status:
            obj.pop("status", None)

    def validate(self, cluster: Cluster, obj: Obj) -> list[FieldError]:
        """Check schema and rules of a new object."""
        return validate(self._resource.schema, obj, None)

    def validate_update(self, cluster: Cluster, obj: Obj, old: Obj) -> list[FieldError]:
        """Check schema and rules of a change; what was wrong before and is unchanged may stay (KEP-4008)."""
        return validate(self._resource.schema, obj, old)

    def removed(self, cluster: Cluster, obj: Obj) -> None:
        """With the last object goes a definition that waits for it."""
        resource = self._resource
        definition = cluster.store.get(_DEFINITIONS, "", f"{resource.plural}.{resource.group}")
        waits = definition is not None and CLEANUP in definition.obj["metadata"].get("finalizers", ())
        if definition is None or not waits or cluster.store.list(resource.collection):
            return
        left = [item for item in definition.obj["metadata"]["finalizers"] if item != CLEANUP]
        changed = definition.copy()
        changed["metadata"]["finalizers"] = left
        if left:
            cluster.store.put(_DEFINITIONS, changed)
            return
        cluster.store.remove(_DEFINITIONS, definition)
        cluster.registry.remove(resource.group, resource.plural)
        cluster.store.drop(resource.collection)
