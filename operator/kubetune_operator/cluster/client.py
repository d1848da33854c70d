"""A small Kubernetes client on kubernetes.aio: plain documents, every call bounded, every error one of ours.

The generated API classes are left aside: their models cost memory and time, and drop fields they do not know.
"""

import json
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote, urlencode
from urllib.request import getproxies

import aiohttp
import yaml

from ..errors import ApiError, ApiUnreachable, CannotStart, NotFound, api_error
from .gate import Gate, always_open
from .pace import Pace

logger = logging.getLogger(__name__)

Document = dict[str, Any]
Observer = Callable[[str, str, int], None]
"""(verb, kind, status code); code 0 when there was no answer."""

#: API prefix and plural of every kind that is touched.
PATHS = {
    "FineTuneJob": ("/apis/kubetune.io/v1alpha1", "finetunejobs"),
    "EvalRun": ("/apis/kubetune.io/v1alpha1", "evalruns"),
    "Job": ("/apis/batch/v1", "jobs"),
    "Pod": ("/api/v1", "pods"),
    "ConfigMap": ("/api/v1", "configmaps"),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims"),
    "Service": ("/api/v1", "services"),
    "Event": ("/api/v1", "events"),
    "Node": ("/api/v1", "nodes"),
    "Lease": ("/apis/coordination.k8s.io/v1", "leases"),
}
PAGE = 500
_SECONDS, _CONNECT_SECONDS = 30.0, 5.0
_LOG_IN_SECONDS = 5.0
#: What decides who writes is written by those who may not write yet.
_UNFENCED = frozenset({"Lease"})
_fence: ContextVar[Gate | None] = ContextVar("fence", default=None)
_IN_CLUSTER = "KUBERNETES_SERVICE_HOST"


class Client:
    """Calls to one API server. Writes pass the gate: when it is opened, when they are sent, and until it shuts."""

    def __init__(
        self, api: Any, observer: Observer | None = None, gate: Gate | None = None, pace: Pace | None = None
    ) -> None:
        self._api = api
        self._observer = observer or (lambda verb, kind, code: None)
        self._gate = gate or always_open()
        self._pace = pace
        self._logged_in_at = time.monotonic()
        self._answered_at = time.monotonic()

    def answered_seconds_ago(self) -> float:
        """Return how long ago the API server answered, whatever it said."""
        return time.monotonic() - self._answered_at

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def get(self, kind: str, namespace: str | None, name: str) -> Document:
        """Return one object.

        Raises:
            NotFound: there is none.
        """
        return await self._json("GET", kind, _path(kind, namespace, name))

    async def list(self, kind: str, namespace: str | None, **selectors: str) -> list[Document]:
        """Return every object that the selectors choose, read in pages."""
        return [item async for item in self.pages(kind, namespace, **selectors)]

    async def pages(self, kind: str, namespace: str | None, **selectors: str) -> AsyncIterator[Document]:
        """Yield every object that the selectors choose, a page at a time."""
        query = {**selectors, "limit": str(PAGE)}
        while True:
            page = await self._json("GET", kind, f"{_path(kind, namespace)}?{urlencode(query)}")
            api_version = page.get("apiVersion")
            for item in page.get("items") or []:
                yield {"apiVersion": api_version, "kind": kind, **item}
            if not (token := page.get("metadata", {}).get("continue")):
                return
            query["continue"] = token

    async def create(self, manifest: Mapping[str, Any]) -> Document:
        """Create an object.

        Raises:
            AlreadyExists: the name is taken.
        """
        kind = manifest["kind"]
        path = _path(kind, manifest["metadata"]["namespace"])
        return await self._json("POST", kind, path, dict(manifest))

    async def merge(
        self, kind: str, namespace: str, name: str, patch: Mapping[str, Any], subresource: str | None = None
    ) -> Document:
        """Apply a JSON merge patch (RFC 7396); with metadata.resourceVersion in it, only to that version.

        Raises:
            Conflict: the object changed.
        """
        path = _path(kind, namespace, name) + (f"/{subresource}" if subresource else "")
        return await self._json("PATCH", kind, path, dict(patch), content="application/merge-patch+json")

    async def delete(self, kind: str, namespace: str, name: str, uid: str | None = None) -> None:
        """Delete an object and, in the background, what it owns; one that is gone is fine."""
        options: Document = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            await self._json("DELETE", kind, _path(kind, namespace, name), options)
        except ApiError as error:
            if error.code == 404:
                return
            # 409 is either: it is another object by now, which is fine; or: try again.
            if error.code != 409 or await self._is(kind, namespace, name, uid):
                raise

    async def _is(self, kind: str, namespace: str, name: str, uid: str | None) -> bool:
        try:
            found = await self.get(kind, namespace, name)
        except NotFound:
            return False
        return uid in (None, found["metadata"]["uid"])

    async def log(self, namespace: str, pod: str, container: str, tail: int) -> str:
        """Return the last lines of a container's log."""
        query = urlencode({"container": container, "tailLines": tail, "limitBytes": 2**20})
        body = await self._call("GET", "Pod", f"{_path('Pod', namespace, pod)}/log?{query}", None, "application/json")
        return body.decode(errors="replace")

    async def _json(
        self, method: str, kind: str, path: str, body: Document | None = None, content: str = "application/json"
    ) -> Document:
        text = await self._call(method, kind, path, body, content)
        try:
            document: Document = json.loads(text)
        except ValueError as error:
            raise ApiUnreachable(f"{method} {path}: the answer is no JSON: {text[:100]!r}") from error
        return document

    async def _call(self, method: str, kind: str, path: str, body: Document | None, content: str) -> bytes:
        fenced = method != "GET" and kind not in _UNFENCED
        if fenced:
            self._gate.check()
            if self._pace is not None:
                await self._pace.take()
        gate = self._gate if fenced else None
        headers = {"Content-Type": content, "Accept": "application/json"}
        try:
            return await self._send(method, kind, path, await self._authorized(headers), body, gate)
        except ApiError as error:
            if error.code != 401 or not await self._renewed():
                raise
        return await self._send(method, kind, path, await self._authorized(headers), body, gate)

    async def _authorized(self, headers: Mapping[str, str]) -> dict[str, str]:
        complete = dict(headers)
        await self._api.update_params_for_auth(complete, [], ["BearerToken"], "", "", None)
        return complete

    async def _renewed(self) -> bool:
        """Read the credentials anew, when that was not done just now; tell whether there may be others."""
        now = time.monotonic()
        if now - self._logged_in_at < _LOG_IN_SECONDS:
            return False
        self._logged_in_at = now
        try:
            await log_in(self._api.configuration)
        except CannotStart as error:
            logger.warning("the credentials were refused, and there are no new ones: %s", error)
            return False
        return True

    async def access(self) -> tuple[str, Any, dict[str, str]]:
        """Return address, SSL context and headers of the API server, with credentials read anew.

        Raises:
            CannotStart: there are none.
        """
        await log_in(self._api.configuration)
        headers = await self._authorized({})
        return self._api.configuration.host, self._api.rest_client.ssl_context, headers

    async def _send(
        self, method: str, kind: str, path: str, headers: dict[str, str], body: Document | None, gate: Gate | None
    ) -> bytes:
        """Send a request and return the answer; one that has a gate is given up when the gate shuts."""
        verb, seconds = _VERBS[method], _SECONDS
        if gate is not None:
            gate.check()
            seconds = min(seconds, gate.remaining())
        timeout = aiohttp.ClientTimeout(total=seconds, connect=_CONNECT_SECONDS)
        token = _fence.set(gate)
        try:
            response = await self._api.call_api(
                method, self._api.configuration.host + path, headers, body=body, _request_timeout=timeout
            )
            data: bytes = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            self._observer(verb, kind, 0)
            raise ApiUnreachable(f"{method} {path}: {error or type(error).__name__}") from error
        finally:
            _fence.reset(token)
        self._answered_at = time.monotonic()
        self._observer(verb, kind, response.status)
        if response.status >= 400:
            raise _error(response.status, data, response.getheader("Retry-After"))
        return data


async def _before_sending(*_: Any) -> None:
    """The connection is there and nothing has been sent: the last moment at which a write can be held back."""
    if (gate := _fence.get()) is not None:
        gate.check()


def _tracing() -> aiohttp.TraceConfig:
    tracing = aiohttp.TraceConfig()
    tracing.on_request_headers_sent.append(_before_sending)
    return tracing


_VERBS = {"GET": "read", "POST": "create", "PATCH": "patch", "DELETE": "delete"}


def _error(code: int, data: bytes, retry_after: str | None) -> ApiError:
    try:
        status = json.loads(data)
    except ValueError:
        status = {}
    reason = status.get("reason") or str(code)
    message = status.get("message") or data.decode(errors="replace")[:500]
    return api_error(code, reason, message, float(retry_after) if retry_after and retry_after.isdigit() else None)


def _path(kind: str, namespace: str | None, name: str | None = None) -> str:
    prefix, plural = PATHS[kind]
    middle = f"/namespaces/{quote(namespace)}" if namespace else ""
    return f"{prefix}{middle}/{plural}" + (f"/{quote(name)}" if name else "")


async def connect(observer: Observer | None = None, gate: Gate | None = None, pace: Pace | None = None) -> Client:
    """Return a client for KUBECONFIG, the default kubeconfig, or the service account of the pod.

    Raises:
        CannotStart: none of them leads to a cluster.
    """
    from kubernetes.aio.client.api_client import ApiClient
    from kubernetes.aio.client.configuration import Configuration

    configuration = Configuration()
    # Proxies of the environment are looked up in a thread, anew for each call: not where there are none.
    configuration.client_session_kwargs = {"trust_env": bool(getproxies())}
    await log_in(configuration)
    configuration.trace_configs = [_tracing()]
    return Client(ApiClient(configuration), observer, gate, pace)


async def log_in(configuration: Any) -> None:
    """Read address and credentials, now: files of tokens change, and plugins make new ones.

    Raises:
        CannotStart: there are none.
    """
    from kubernetes.aio.config.config_exception import ConfigException
    from kubernetes.aio.config.incluster_config import load_incluster_config
    from kubernetes.aio.config.kube_config import load_kube_config

    file = os.environ.get("KUBECONFIG")
    try:
        if file is None and _IN_CLUSTER in os.environ:
            load_incluster_config(client_configuration=configuration)
        else:
            await load_kube_config(file, client_configuration=configuration, persist_config=False)
    except (ConfigException, OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        where = f"KUBECONFIG={file}" if file else "KUBECONFIG is not set, and ~/.kube/config names none"
        raise CannotStart(f"no cluster to work in ({where}): {error}. Set KUBECONFIG to a kubeconfig file") from error
