"""The state that all verbs share, and what one request asks for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kubetune_local import timestamps
from kubetune_local.apiserver.resources import Registry, Resource
from kubetune_local.apiserver.storage.store import Store

Obj = dict[str, Any]
NAMESPACES = ("", "namespaces")


@dataclass
class Cluster:
    """Store, registry and clock."""

    store: Store
    registry: Registry
    clock: Callable[[], datetime] = timestamps.now

    def now(self) -> str:
        """Return the present as the server writes it."""
        return timestamps.rfc3339(self.clock())


@dataclass
class Request:
    """One call on a resource, taken apart. `warnings` are sent back as Warning headers."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    query: dict[str, str] = field(default_factory=dict)
    manager: str = "unknown"
    user: str = "system:admin"
    warnings: list[str] = field(default_factory=list)

    @property
    def dry_run(self) -> bool:
        """Whether the result is computed but not stored."""
        return bool(self.query.get("dryRun"))

    @property
    def field_validation(self) -> str:
        """Ignore, Warn or Strict."""
        return self.query.get("fieldValidation") or "Warn"

    def flag(self, name: str) -> bool:
        """Read a boolean query parameter as Go does: `1`, `true` or the bare name."""
        return name in self.query and self.query[name].lower() not in ("0", "false", "f")
