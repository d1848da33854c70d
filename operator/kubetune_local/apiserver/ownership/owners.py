"""Keep `metadata.managedFields`: after every write, each manager owns what it was the last to set."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kubetune_local.apiserver.cluster import Request
from kubetune_local.apiserver.ownership.paths import Path, Place, from_fields, to_fields, walk
from kubetune_local.apiserver.schema.node import Node

Obj = dict[str, Any]
_SYSTEM = (
    "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
    "deletionGracePeriodSeconds", "managedFields", "selfLink",
)  # fmt: skip
_UNOWNED = {("f:apiVersion",), ("f:kind",), *(("f:metadata", f"f:{name}") for name in _SYSTEM)}
_MAX_UPDATERS = 10


@dataclass
class Owner:
    """One entry of managedFields."""

    manager: str
    operation: str
    api_version: str
    subresource: str = ""
    time: str = ""
    paths: set[Path] = field(default_factory=set)

    def entry(self) -> Obj:
        """Write it as it stands in the object."""
        entry: Obj = {"manager": self.manager, "operation": self.operation, "apiVersion": self.api_version}
        entry |= {"time": self.time, "fieldsType": "FieldsV1", "fieldsV1": to_fields(self.paths)}
        return entry | ({"subresource": self.subresource} if self.subresource else {})

    def same(self, request: Request, operation: str) -> bool:
        """Whether a request writes as this owner."""
        mine = (self.manager, self.operation, self.subresource)
        return mine == (request.manager, operation, request.subresource)


def read_owners(obj: Obj) -> list[Owner]:
    """Read the entries of an object."""
    return [
        Owner(
            entry.get("manager", ""),
            entry.get("operation", ""),
            entry.get("apiVersion", ""),
            entry.get("subresource", ""),
            entry.get("time", ""),
            from_fields(entry.get("fieldsV1") or {}),
        )
        for entry in obj["metadata"].get("managedFields", ())
        if entry
    ]


def write_owners(obj: Obj, owners: list[Owner]) -> None:
    """Write the entries into an object; those that own nothing are dropped."""
    entries = [owner.entry() for owner in sorted(owners, key=_order) if owner.paths]
    if entries:
        obj["metadata"]["managedFields"] = entries
    else:
        obj["metadata"].pop("managedFields", None)


def _order(owner: Owner) -> tuple[str, ...]:
    return (owner.operation, owner.time, owner.manager, owner.api_version, owner.subresource)


def owned_part(request: Request) -> Callable[[Path], bool]:
    """Tell which paths a request can own: not what the server sets, nor what belongs to another subresource."""
    resource, subresource = request.resource, request.subresource

    def own(path: Path) -> bool:
        if path in _UNOWNED or path[:2] in _UNOWNED or path in (("f:metadata",), ("f:spec",), ("f:status",)):
            return False
        if subresource == "status":
            return path[0] == "f:status" or (path[0] == "f:metadata" and resource.custom is None)
        return not (resource.has_status and path[0] == "f:status")

    return own


def values(node: Node, obj: Obj, own: Callable[[Path], bool], inner: bool = True) -> dict[Path, Any]:
    """Return what stands at the paths that can be owned; `inner` includes those of maps and lists themselves."""
    return {path: value for path, value, place in walk(node, obj) if own(path) and (inner or place is not Place.INNER)}


def track_update(node: Node, request: Request, obj: Obj, old: Obj | None, now: str) -> None:
    """After an update (or a patch other than apply): the writer owns what it changed, others lose that."""
    claimed = obj["metadata"].get("managedFields")
    reset = claimed == [{}]
    owners = [] if reset else read_owners(obj if claimed else old or obj)
    if reset:
        obj["metadata"].pop("managedFields", None)
        return
    own = owned_part(request)
    before, after = values(node, old or {}, own), values(node, obj, own)
    changed = {path for path, value in after.items() if path not in before or before[path] != value}
    gone = before.keys() - after.keys()
    mine = next((owner for owner in owners if owner.same(request, "Update")), None)
    if mine is None:
        mine = Owner(request.manager, "Update", request.resource.api_version, request.subresource)
        owners.append(mine)
    for owner in owners:
        owner.paths -= gone if owner is mine else gone | changed
    if changed or not mine.time:
        mine.paths |= changed
        mine.time, mine.api_version = now, request.resource.api_version
    write_owners(obj, _bounded(owners))


def _bounded(owners: list[Owner]) -> list[Owner]:
    """Merge the oldest updaters into one when there are many, as the real server does."""
    updaters = sorted((owner for owner in owners if owner.operation == "Update"), key=lambda owner: owner.time)
    surplus = updaters[: len(updaters) - _MAX_UPDATERS + 1] if len(updaters) > _MAX_UPDATERS else []
    if not surplus:
        return owners
    ancient = Owner("ancient-changes", "Update", surplus[0].api_version, time=surplus[0].time)
    ancient.paths = set().union(*(owner.paths for owner in surplus))
    return [ancient, *(owner for owner in owners if owner not in surplus)]
