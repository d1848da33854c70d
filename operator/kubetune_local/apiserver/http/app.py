"""The application: who may come in, which part answers, and how errors are told."""

import asyncio
import hmac
import json
import logging
from typing import Any

from aiohttp import web

from kubetune_local.apiserver import discovery, openapi
from kubetune_local.apiserver.builtin import description
from kubetune_local.apiserver.cluster import Cluster
from kubetune_local.apiserver.errors import StatusError, internal, method_not_allowed, no_such_path, unauthorized
from kubetune_local.apiserver.http.logs import KubeletLogs
from kubetune_local.apiserver.http.objects import Objects

Obj = dict[str, Any]
MAX_BODY = 3 * 1024 * 1024
_PUBLIC = ("/healthz", "/livez", "/readyz", "/version")
log = logging.getLogger(__name__)


def application(cluster: Cluster, token: str, logs: KubeletLogs) -> web.Application:
    """Return the application that serves a cluster."""
    front = _Front(cluster, token, Objects(cluster, logs))
    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_route("*", "/{path:.*}", front.guard)
    return app


class _Front:
    def __init__(self, cluster: Cluster, token: str, objects: Objects) -> None:
        self._cluster = cluster
        self._token = token.encode()
        self._objects = objects

    async def guard(self, http: web.Request) -> web.StreamResponse:
        """Check the token; turn every error into a Status."""
        warnings: list[str] = []
        answer: web.StreamResponse
        try:
            self._authenticate(http)
            answer = await self.answer(http, warnings)
        except StatusError as error:
            answer = _status(error)
        except web.HTTPRequestEntityTooLarge:
            answer = _status(
                StatusError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {MAX_BODY}")
            )
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            log.exception("%s %s", http.method, http.path_qs)
            answer = _status(internal(f"{type(error).__name__}: {error}"))
        if not answer.prepared:
            for warning in dict.fromkeys(warnings):
                text = warning.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
                answer.headers.add("Warning", f'299 - "{text}"')
        return answer

    def _authenticate(self, http: web.Request) -> None:
        if http.path in _PUBLIC or http.path.startswith(("/livez/", "/readyz/", "/healthz/")):
            return
        kind, _, given = http.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token):
            raise unauthorized()

    async def answer(self, http: web.Request, warnings: list[str]) -> web.StreamResponse:
        """Answer from the part that the path belongs to."""
        path = http.path.rstrip("/")
        if path.startswith(("/healthz", "/livez", "/readyz")):
            return web.Response(text="ok")
        if path == "/version":
            return _json(description()["version"])
        if path == "/openapi/v3":
            return _json(openapi.v3_index(self._cluster.registry))
        if path.startswith("/openapi/v3/"):
            return _json(openapi.v3_group(self._cluster.registry, path))
        document = discovery.document(self._cluster.registry, path, http.headers.get("Accept", ""))
        if document is not None:
            if http.method not in ("GET", "HEAD"):
                raise method_not_allowed()
            return _discovery(document)
        return await self._objects.handle(http, warnings)


def _json(body: Obj | None) -> web.Response:
    if body is None:
        raise no_such_path()
    return web.Response(text=json.dumps(body, ensure_ascii=False), content_type="application/json")


def _discovery(document: Obj) -> web.Response:
    return web.Response(
        body=json.dumps(document, ensure_ascii=False).encode(),
        headers={"Content-Type": discovery.content_type(document), "Vary": "Accept"},
    )


def _status(error: StatusError) -> web.Response:
    headers = {"WWW-Authenticate": "Bearer"} if error.code == 401 else {}
    retry = (error.details or {}).get("retryAfterSeconds")
    if retry:
        headers["Retry-After"] = str(retry)
    return web.Response(
        status=error.code,
        text=json.dumps(error.to_status(), ensure_ascii=False),
        content_type="application/json",
        headers=headers,
    )
