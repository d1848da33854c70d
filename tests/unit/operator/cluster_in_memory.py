"""A client of an API server that is a dictionary, for tests of the rooms that touch the cluster."""

import copy
from collections.abc import AsyncIterator, Mapping
from typing import Any

from kubetune_operator.errors import ApiError, api_error

Document = dict[str, Any]


class InMemory:
    """Objects by kind, namespace and name; every write is noted."""

    def __init__(self, *objects: Document) -> None:
        self.objects: dict[tuple[str, str, str], Document] = {}
        self.writes: list[tuple[str, str, str]] = []
        self.refusals: dict[str, ApiError] = {}
        """Errors that creating an object of a kind answers with."""
        self.unreadable: set[str] = set()
        """Kinds that may not be listed."""
        self.undeletable: ApiError | None = None
        self.logs: dict[str, str] = {}
        self.log_reads = 0
        for entry in objects:
            self.put(entry)

    def put(self, manifest: Mapping[str, Any]) -> Document:
        """Store an object as it is."""
        stored = copy.deepcopy(dict(manifest))
        metadata = stored["metadata"]
        metadata.setdefault("namespace", "team")
        metadata.setdefault("uid", f"uid-{metadata['name']}")
        metadata["resourceVersion"] = str(int(metadata.get("resourceVersion", 0)) + 1)
        self.objects[stored["kind"], metadata["namespace"], metadata["name"]] = stored
        return stored

    def of(self, kind: str) -> list[Document]:
        """Return every object of a kind."""
        return [entry for key, entry in self.objects.items() if key[0] == kind]

    async def get(self, kind: str, namespace: str, name: str) -> Document:
        if (kind, namespace, name) not in self.objects:
            raise api_error(404, "NotFound", f"{kind} {name} not found")
        return copy.deepcopy(self.objects[kind, namespace, name])

    async def list(self, kind: str, namespace: str | None, **selectors: str) -> list[Document]:
        if kind in self.unreadable:
            raise api_error(403, "Forbidden", f"User cannot list {kind}")
        wanted = dict(part.split("=") for part in selectors.get("labelSelector", "").split(",") if part)
        return [
            copy.deepcopy(entry)
            for entry in self.of(kind)
            if wanted.items() <= entry["metadata"].get("labels", {}).items()
        ]

    async def pages(self, kind: str, namespace: str | None, **selectors: str) -> AsyncIterator[Document]:
        for entry in await self.list(kind, namespace, **selectors):
            yield entry

    async def create(self, manifest: Document) -> Document:
        kind, metadata = manifest["kind"], manifest["metadata"]
        if kind in self.refusals:
            raise self.refusals[kind]
        if (kind, metadata["namespace"], metadata["name"]) in self.objects:
            raise api_error(409, "AlreadyExists", f"{kind} {metadata['name']} already exists")
        self.writes.append(("create", kind, metadata["name"]))
        return self.put(manifest)

    async def merge(
        self, kind: str, namespace: str, name: str, patch: Mapping[str, Any], subresource: str | None = None
    ) -> Document:
        stored = await self.get(kind, namespace, name)
        version = patch.get("metadata", {}).get("resourceVersion")
        if version is not None and version != stored["metadata"]["resourceVersion"]:
            raise api_error(409, "Conflict", "the object has been modified")
        self.writes.append(("patch", kind, name))
        part = subresource or "spec"
        return self.put(stored | {part: merged(stored.get(part, {}), patch[part])})

    async def delete(self, kind: str, namespace: str, name: str, uid: str | None = None) -> None:
        if self.undeletable is not None:
            raise self.undeletable
        self.writes.append(("delete", kind, name))
        self.objects.pop((kind, namespace, name), None)

    async def log(self, namespace: str, pod: str, container: str, tail: int) -> str:
        self.log_reads += 1
        if pod not in self.logs:
            raise api_error(404, "NotFound", "no such log")
        return self.logs[pod]


def merged(document: Any, patch: Any) -> Any:
    """Return a document with a merge patch applied (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result
