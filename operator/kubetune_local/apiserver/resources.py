"""What the server serves: resources by group, version and plural, built-in and from CRDs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from kubetune_local.apiserver.builtin import description
from kubetune_local.apiserver.schema.node import Node, builtin, compile_structural
from kubetune_local.apiserver.storage.store import Collection

Obj = dict[str, Any]
ALL_VERBS = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]
STATUS_VERBS = ["get", "patch", "update"]


@dataclass(eq=False)
class Resource:
    """One served resource. `custom` is the version entry of its CRD; built-in resources have none."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    verbs: list[str]
    short_names: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    subresources: dict[str, Obj] = field(default_factory=dict)
    columns: list[Obj] = field(default_factory=list)
    custom: Obj | None = None
    schema_name: str = ""
    list_kind: str = ""
    storage_group: str | None = None
    from_storage: Callable[[Obj], Obj] | None = None
    to_storage: Callable[[Obj], Obj] | None = None
    storage_version: str = ""
    strategy: Any = None

    @property
    def api_version(self) -> str:
        """`v1` or `group/version`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def collection(self) -> Collection:
        """Where its objects are stored; the same for all versions."""
        return (self.group if self.storage_group is None else self.storage_group, self.plural)

    @cached_property
    def schema(self) -> Node:
        """The compiled schema of its objects."""
        if self.custom is not None:
            return compile_structural(self.custom.get("schema", {}).get("openAPIV3Schema", {}))
        return builtin(self.schema_name)

    @property
    def has_status(self) -> bool:
        """Whether `/status` is a subresource, so that status cannot be written through the object itself."""
        return "status" in self.subresources


class Registry:
    """All resources of the server. `revision` grows when CRDs come and go."""

    def __init__(self) -> None:
        self._resources: dict[tuple[str, str, str], Resource] = {}
        self.revision = 0
        for resource in _builtins():
            self.add(resource)

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._resources.values())

    def add(self, resource: Resource) -> None:
        """Serve a resource, in place of one of the same name."""
        self._resources[resource.group, resource.version, resource.plural] = resource
        self.revision += 1

    def remove(self, group: str, plural: str) -> list[Resource]:
        """Stop serving all versions of a resource; returns them."""
        gone = [item for item in self if (item.group, item.plural) == (group, plural)]
        for item in gone:
            del self._resources[item.group, item.version, item.plural]
        self.revision += bool(gone)
        return gone

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """Look up a resource by its path."""
        return self._resources.get((group, version, plural))

    def by_collection(self, collection: Collection) -> Resource | None:
        """Return some version of the resource that is stored in a collection."""
        return next((item for item in self if item.collection == collection and item.storage_group is None), None)

    def versions(self) -> dict[str, dict[str, list[Resource]]]:
        """Group -> version -> resources, as discovery lists them."""
        tree: dict[str, dict[str, list[Resource]]] = {}
        for resource in self:
            tree.setdefault(resource.group, {}).setdefault(resource.version, []).append(resource)
        return tree


def _schema_names() -> dict[tuple[str, str, str], str]:
    names = {}
    for name, schema in description()["schemas"].items():
        for gvk in schema.get("x-kubernetes-group-version-kind", ()):
            names[gvk["group"], gvk["version"], gvk["kind"]] = name
    return names


def _builtins() -> Iterator[Resource]:
    names = _schema_names()
    for item in description()["resources"]:
        kind = item["responseKind"]["kind"]
        yield Resource(
            group=item["group"],
            version=item["version"],
            plural=item["resource"],
            singular=item["singularResource"],
            kind=kind,
            namespaced=item["scope"] == "Namespaced",
            verbs=item["verbs"],
            short_names=item.get("shortNames", []),
            categories=item.get("categories", []),
            subresources={sub["subresource"]: sub for sub in item["subresources"]},
            columns=item["columns"],
            schema_name=names[item["group"], item["version"], kind],
            list_kind=f"{kind}List",
            storage_version=item["version"],
        )
