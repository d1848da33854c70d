"""Custom resources: schema and rules come from the CRD's version entry."""

from typing import Any

from kubetune_local.apiserver.cluster import Cluster, Request
from kubetune_local.apiserver.errors import FieldError
from kubetune_local.apiserver.kinds.strategy import Strategy
from kubetune_local.apiserver.resources import Resource
from kubetune_local.apiserver.schema.validate import validate

Obj = dict[str, Any]


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
