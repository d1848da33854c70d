"""Get and list."""

import base64
import json
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from kubetune_local.apiserver.cluster import Cluster, Request
from kubetune_local.apiserver.errors import StatusError, bad_request, expired, invalid_value, too_large_resource_version
from kubetune_local.apiserver.errors import invalid as invalid_object
from kubetune_local.apiserver.storage.store import Store, Stored
from kubetune_local.apiserver.verbs.selection import selection_of
from kubetune_local.apiserver.verbs.update import find

Obj = dict[str, Any]
_SNAPSHOTS = 64
_snapshots: WeakKeyDictionary[Store, OrderedDict[str, tuple[int, list[Stored]]]] = WeakKeyDictionary()


@dataclass
class Page:
    """What a list returns."""

    version: int
    items: list[Stored]
    cursor: str = ""
    remaining: int | None = None
    meta: Obj = field(init=False)

    def __post_init__(self) -> None:
        self.meta = {"resourceVersion": str(self.version)}
        if self.cursor:
            self.meta["continue"] = self.cursor
            if self.remaining is not None:
                self.meta["remainingItemCount"] = self.remaining


def get(cluster: Cluster, request: Request) -> Stored:
    """Return one object; StatusError 404 when it is not there."""
    _check_future(cluster, request.query.get("resourceVersion", ""))
    return find(cluster, request)


def parse_version(text: str) -> int:
    """Read a resourceVersion; StatusError 400 when it is none."""
    if text and not text.isdigit():
        raise bad_request(f'invalid resource version "{text}"')
    return int(text or 0)


def _check_future(cluster: Cluster, text: str) -> None:
    asked = parse_version(text)
    if asked > cluster.store.version:
        raise too_large_resource_version(asked, cluster.store.version)


def list_objects(cluster: Cluster, request: Request) -> Page:
    """Return the objects that a request selects, or a page of them."""
    selection = selection_of(request)
    limit = int(request.query["limit"]) if request.query.get("limit", "").isdigit() else 0
    cursor = request.query.get("continue", "")
    _check_match(cluster, request, cursor)
    if cursor:
        version, items = _resume(cluster.store, cursor)
    else:
        version = cluster.store.version
        items = [
            item
            for item in cluster.store.list(request.resource.collection, request.namespace)
            if selection.matches(item)
        ]
    if not limit or len(items) <= limit:
        return Page(version, items)
    page, rest = items[:limit], items[limit:]
    return Page(version, page, _remember(cluster.store, version, rest), None if selection else len(rest))


def _check_match(cluster: Cluster, request: Request, cursor: str) -> None:
    text, match = request.query.get("resourceVersion", ""), request.query.get("resourceVersionMatch", "")
    if match and not text:
        raise _refused(
            "resourceVersionMatch", "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
        )
    if match and match not in ("Exact", "NotOlderThan"):
        raise _refused(
            "resourceVersionMatch", f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan"'
        )
    if cursor and text not in ("", "0"):
        raise bad_request("specifying resource version is not allowed when using continue")
    _check_future(cluster, text)
    asked = parse_version(text)
    if match == "Exact" and asked < cluster.store.changed(request.resource.collection):
        raise expired("The resourceVersion for the provided list is too old.")


def _refused(name: str, detail: str) -> StatusError:
    error = invalid_value(name, "", detail)
    return invalid_object("ListOptions", "meta.k8s.io", "", [error])


def _remember(store: Store, version: int, rest: list[Stored]) -> str:
    kept = _snapshots.setdefault(store, OrderedDict())
    key = secrets.token_urlsafe(12)
    kept[key] = (version, rest)
    while len(kept) > _SNAPSHOTS:
        kept.popitem(last=False)
    token = {"v": "meta.k8s.io/v1", "rv": version, "start": key}
    return base64.urlsafe_b64encode(json.dumps(token).encode()).decode().rstrip("=")


def _resume(store: Store, cursor: str) -> tuple[int, list[Stored]]:
    try:
        token = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        key = token["start"]
    except (ValueError, KeyError, TypeError):
        raise bad_request("continue key is not valid: incorrect encoded start key") from None
    found = _snapshots.get(store, OrderedDict()).get(key)
    if found is None:
        raise expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list"
            " without the continue parameter."
        )
    return found
