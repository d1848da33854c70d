"""A request to the API server, as the proxy sees it: which object, which verb."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

WRITES = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_HASH = re.compile(r"[0-9a-f]{8,}")


@dataclass(frozen=True)
class Call:
    """One request."""

    method: str
    path: str
    verb: str
    """get, list, watch, create, update, patch, delete; `log` for a pod's log and `discover` for what is no object."""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def is_write(self) -> bool:
        """Tell whether it changes something."""
        return self.method in WRITES

    @property
    def is_lease(self) -> bool:
        """Tell whether it is about leadership: renewed by the clock, no part of a job's life."""
        return self.resource == "leases"

    @property
    def identity(self) -> str:
        """What stays the same of this request in another run: no namespace, no hash of a UID."""
        return _HASH.sub("*", f"{self.verb} {self.resource}/{self.name}/{self.subresource}")

    def __str__(self) -> str:
        """Say it as people do: `create jobs ns/name`."""
        what = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        return f"{self.verb} {what or self.path} {self.namespace}/{self.name}".rstrip("/ ")


def read_call(method: str, path: str, query: Mapping[str, str]) -> Call:
    """Return what a request asks for."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    rest = parts[2:] if parts[0] == "api" else parts[3:] if parts[0] == "apis" else []
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    if not rest:
        return Call(method, path, "discover")
    resource, name, subresource = [*rest, "", "", ""][:3]
    if method in WRITES:
        verb = WRITES[method]
    elif subresource == "log":
        verb = "log"
    elif query.get("watch", "") in ("true", "1"):
        verb = "watch"
    else:
        verb = "get" if name else "list"
    return Call(method, path, verb, resource, namespace, name, subresource)


def chance(*what: object) -> float:
    """Return a number in [0, 1) that depends on the arguments alone: the same seed gives the same faults."""
    digest = hashlib.sha256(repr(what).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
