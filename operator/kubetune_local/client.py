"""A small asynchronous Kubernetes API client over aiohttp, for the local controllers and the kubelet.

It talks JSON dictionaries, not typed models: what a controller does not know about an object must survive a write.
"""

from __future__ import annotations

import asyncio
import builtins
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp

from kubetune_local.kubeconfig import KubeConfig

JSON = dict[str, Any]

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"

UNREACHABLE = (aiohttp.ClientError, OSError, asyncio.TimeoutError)
"""What a request raises when the server cannot be reached or the connection breaks."""


class ApiError(Exception):
    """A `Status` answer of the API server."""

    def __init__(self, code: int, reason: str, message: str, body: JSON | None = None) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.body = body or {}

    @property
    def not_found(self) -> bool:
        """The object, its namespace or its kind does not exist."""
        return self.code == 404

    @property
    def conflict(self) -> bool:
        """409 for a stale resourceVersion, a changed UID or a taken name."""
        return self.code == 409

    @property
    def gone(self) -> bool:
        """The resourceVersion asked for was compacted: list again."""
        return self.code == 410 or self.reason == "Expired"


@dataclass(frozen=True)
class Resource:
    """One API resource as discovery names it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`v1` or `group/version`, as in manifests."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """URL path of the collection, of one object or of its subresource."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace)]
        parts.append(self.plural)
        if name:
            parts.append(quote(name))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
PODS = Resource("", "v1", "pods", "Pod")
EVENTS = Resource("", "v1", "events", "Event")
CONFIGMAPS = Resource("", "v1", "configmaps", "ConfigMap")
SECRETS = Resource("", "v1", "secrets", "Secret")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
VOLUMES = Resource("", "v1", "persistentvolumes", "PersistentVolume", namespaced=False)
STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False)
PRIORITY_CLASSES = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)
JOBS = Resource("batch", "v1", "jobs", "Job")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)


class KubeClient:
    """HTTP session to one API server. Use as an async context manager, or call `close()`."""

    def __init__(self, config: KubeConfig, *, user_agent: str = "kubetune-local", timeout: float = 30.0) -> None:
        self.config = config
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=5.0)
        self._agent = user_agent
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> KubeClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; watches in flight end."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def session(self) -> aiohttp.ClientSession:
        """The underlying session, opened on first use inside the running loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self.config.ssl_context or True),
                timeout=self._timeout,
                trust_env=False,
            )
        return self._session

    def headers(self, extra: dict[str, str] | None = None) -> dict[str, str]:
        """Headers of a request: who we are and what we accept."""
        headers = {"Accept": "application/json", "User-Agent": self._agent, **(extra or {})}
        if token := self.config.bearer_token():
            headers["Authorization"] = f"Bearer {token}"
        elif self.config.username is not None:
            headers["Authorization"] = aiohttp.BasicAuth(self.config.username, self.config.password or "").encode()
        return headers

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: dict[str, str] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Any:
        """One call; returns the decoded JSON, or text when the answer is not JSON. Raises `ApiError` on 4xx and 5xx."""
        headers = self.headers({"Accept": accept})
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = json.dumps(body).encode()
        async with self.session().request(
            method, self.config.server + path, data=data, params=params, headers=headers
        ) as answer:
            raw = await answer.read()
            if answer.status >= 400:
                raise _error(answer.status, raw)
            if "json" in answer.headers.get("Content-Type", ""):
                return json.loads(raw)
            return raw.decode("utf-8", "replace")

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> JSON:
        """Read one object."""
        found: JSON = await self.request("GET", resource.path(namespace, name))
        return found

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        chunk: int = 500,
    ) -> tuple[list[JSON], str]:
        """All objects, read in chunks, and the collection's resourceVersion to watch from."""
        params = _selectors(label_selector, field_selector)
        params["limit"] = str(chunk)
        items: list[JSON] = []
        while True:
            page: JSON = await self.request("GET", resource.path(namespace), params=params)
            for item in page.get("items") or []:
                item.setdefault("apiVersion", resource.api_version)
                item.setdefault("kind", resource.kind)
                items.append(item)
            meta = page.get("metadata") or {}
            if not meta.get("continue"):
                return items, str(meta.get("resourceVersion", ""))
            params["continue"] = meta["continue"]

    async def create(
        self,
        resource: Resource,
        body: JSON,
        namespace: str | None = None,
        subresource: str | None = None,
        name: str | None = None,
    ) -> JSON:
        """POST an object to its collection, or to a subresource such as `pods/NAME/binding`."""
        made: JSON = await self.request("POST", resource.path(namespace, name, subresource), body=body)
        return made

    async def replace(self, resource: Resource, body: JSON, subresource: str | None = None) -> JSON:
        """PUT an object; its resourceVersion guards against lost updates."""
        meta = body["metadata"]
        made: JSON = await self.request(
            "PUT", resource.path(meta.get("namespace"), meta["name"], subresource), body=body
        )
        return made

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: Any,
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        content_type: str = MERGE,
    ) -> JSON:
        """PATCH an object; JSON merge patch unless told."""
        made: JSON = await self.request(
            "PATCH", resource.path(namespace, name, subresource), body=body, content_type=content_type
        )
        return made

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        grace: int | None = None,
        propagation: str | None = None,
    ) -> JSON:
        """DELETE an object; `uid` makes sure that it is the one meant, not a namesake born since."""
        options: JSON = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if propagation:
            options["propagationPolicy"] = propagation
        made: JSON = await self.request("DELETE", resource.path(namespace, name), body=options)
        return made

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str = "",
        label_selector: str | None = None,
        field_selector: str | None = None,
        timeout_seconds: int = 300,
    ) -> AsyncIterator[tuple[str, JSON]]:
        """Yield events (`ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK`) until it ends. Raises `ApiError` on ERROR."""
        params = _selectors(label_selector, field_selector)
        params |= {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(timeout_seconds)}
        if resource_version:
            params["resourceVersion"] = resource_version
        timeout = aiohttp.ClientTimeout(total=timeout_seconds + 30, sock_connect=5.0)
        url = self.config.server + resource.path(namespace)
        async with self.session().get(url, params=params, headers=self.headers(), timeout=timeout) as answer:
            if answer.status >= 400:
                raise _error(answer.status, await answer.read())
            async for line in _lines(answer.content):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise ApiError(
                        int(status.get("code", 500)), status.get("reason", ""), status.get("message", ""), status
                    )
                yield event["type"], event["object"]

    async def wait_for(
        self,
        resource: Resource,
        name: str,
        namespace: str | None,
        predicate: Callable[[JSON | None], bool],
        timeout: float = 30.0,
    ) -> JSON | None:
        """Watch one object until `predicate(object or None)` holds, and return it. Raises `TimeoutError`."""
        latest: JSON | None = None
        try:
            async with asyncio.timeout(timeout):
                while True:
                    items, version = await self.list(resource, namespace, field_selector=f"metadata.name={name}")
                    latest = items[0] if items else None
                    if predicate(latest):
                        return latest
                    stream = self.watch(
                        resource, namespace, resource_version=version, field_selector=f"metadata.name={name}"
                    )
                    async for kind, obj in stream:
                        if kind == "BOOKMARK":
                            continue
                        latest = None if kind == "DELETED" else obj
                        if predicate(latest):
                            return latest
        except TimeoutError:
            shown = json.dumps((latest or {}).get("status"), indent=1) if latest else "the object does not exist"
            raise TimeoutError(f"{resource.plural}/{name} did not get there in {timeout:g} s: {shown}") from None

    async def discover(self) -> builtins.list[Resource]:
        """Every resource of the preferred versions that can be listed, watched and deleted."""
        found = await self._discover_group("/api/v1", "", "v1")
        groups = await self.request("GET", "/apis")
        for group in groups.get("groups") or []:
            version = group["preferredVersion"]["version"]
            found += await self._discover_group(f"/apis/{group['name']}/{version}", group["name"], version)
        return found

    async def _discover_group(self, path: str, group: str, version: str) -> builtins.list[Resource]:
        try:
            listing = await self.request("GET", path)
        except ApiError as error:
            if error.not_found or error.code == 503:  # a group may vanish, or its aggregated server be down
                return []
            raise
        wanted = {"list", "watch", "delete"}
        return [
            Resource(group, version, entry["name"], entry["kind"], bool(entry["namespaced"]))
            for entry in listing.get("resources") or []
            if "/" not in entry["name"] and wanted <= set(entry.get("verbs") or [])
        ]


def _selectors(label_selector: str | None, field_selector: str | None) -> dict[str, str]:
    params = {}
    if label_selector:
        params["labelSelector"] = label_selector
    if field_selector:
        params["fieldSelector"] = field_selector
    return params


def _error(status: int, raw: bytes) -> ApiError:
    try:
        body = json.loads(raw)
    except ValueError:
        return ApiError(status, "", raw.decode("utf-8", "replace")[:500])
    if not isinstance(body, dict):
        return ApiError(status, "", str(body)[:500])
    return ApiError(status, body.get("reason", ""), body.get("message", ""), body)


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length; aiohttp's own `readline` refuses long ones."""
    pending = bytearray()
    async for chunk in stream.iter_any():
        pending += chunk
        if b"\n" not in chunk:
            continue
        *complete, rest = bytes(pending).split(b"\n")
        pending = bytearray(rest)
        for line in complete:
            if line.strip():
                yield line
