"""The behaviour of a kind; the methods of `Strategy` are the defaults."""

from collections.abc import Callable
from typing import Any

from kubetune_local.apiserver.cluster import Cluster, Request
from kubetune_local.apiserver.errors import FieldError, invalid_value
from kubetune_local.apiserver.names import path_segment_problems, subdomain_problems
from kubetune_local.apiserver.resources import Resource

Obj = dict[str, Any]
IMMUTABLE = "field is immutable"


class Strategy:
    """Defaults, validation and the course of writes of one kind. All methods may change `obj` in place."""

    name_problems: Callable[[str], list[str]] = staticmethod(subdomain_problems)
    selectable: tuple[str, ...] = ()
    generation = False
    returns_deleted = False
    orphans = False
    """Whether dependents survive a deletion that does not say."""
    warning = ""

    def default(self, obj: Obj) -> None:
        """Set the defaults that clients see."""

    def prepare_create(self, cluster: Cluster, request: Request, obj: Obj) -> None:
        """Drop what a client may not set, and set what only the server sets."""

    def prepare_update(self, cluster: Cluster, request: Request, obj: Obj, old: Obj) -> None:
        """Do the same for a change; `request.subresource` tells which part is being written."""

    def validate(self, cluster: Cluster, obj: Obj) -> list[FieldError]:
        """Return what is wrong with an object."""
        return []

    def validate_update(self, cluster: Cluster, obj: Obj, old: Obj) -> list[FieldError]:
        """Return what is wrong with a change, besides what `validate` finds."""
        return []

    def grace_seconds(self, obj: Obj, asked: int | None) -> int:
        """Return how long a deletion waits for someone to finish it; 0 removes at once."""
        return 0

    def field(self, obj: Obj, path: str) -> str:
        """Return the value of a selectable field as text."""
        value: Any = obj
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, bool):
            return "true" if value else "false"
        return "" if value is None else str(value)

    def before_delete(self, cluster: Cluster, obj: Obj) -> None:
        """Refuse a deletion by raising StatusError."""

    def content(self, cluster: Cluster, obj: Obj) -> list[Resource]:
        """Return the resources whose objects go before this object does."""
        return []

    def on_terminating(self, cluster: Cluster, obj: Obj) -> None:
        """Change the object as its deletion begins."""

    def stored(self, cluster: Cluster, obj: Obj) -> None:
        """React to an object that was stored."""

    def removed(self, cluster: Cluster, obj: Obj) -> None:
        """React to an object that was removed."""


class AnyNameStrategy(Strategy):
    """A kind whose names are only bound by what a URL path can hold: RBAC."""

    name_problems = staticmethod(path_segment_problems)


def immutable(obj: Obj, old: Obj, path: str) -> list[FieldError]:
    """Refuse a change of the value at a dotted path."""
    new_value, old_value = at(obj, path), at(old, path)
    return [] if new_value == old_value else [invalid_value(path, new_value, IMMUTABLE)]


def at(obj: Obj, path: str) -> Any:
    """Return the value at a dotted path, or None."""
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def put_default(obj: Obj, **values: Any) -> None:
    """Set fields that are absent."""
    for name, value in values.items():
        obj.setdefault(name, value)
