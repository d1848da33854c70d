"""Requests on resources: from the HTTP method and path to a verb, and from its result to an answer."""

from typing import Any

from aiohttp import web

from kubetune_local.apiserver import table
from kubetune_local.apiserver.cluster import Cluster, Request
from kubetune_local.apiserver.errors import method_not_allowed, no_such_path
from kubetune_local.apiserver.http.logs import KubeletLogs
from kubetune_local.apiserver.http.media import Wanted, parse_body, wanted
from kubetune_local.apiserver.http.paths import Target, parse
from kubetune_local.apiserver.http.streams import partial, stream_watch
from kubetune_local.apiserver.storage.store import Stored
from kubetune_local.apiserver.verbs import subresources
from kubetune_local.apiserver.verbs.bodies import from_storage
from kubetune_local.apiserver.verbs.create import create
from kubetune_local.apiserver.verbs.delete import answer, delete, delete_collection, read_options
from kubetune_local.apiserver.verbs.patch import patch
from kubetune_local.apiserver.verbs.read import get, list_objects
from kubetune_local.apiserver.verbs.reviews import REVIEWS, review
from kubetune_local.apiserver.verbs.update import update

Obj = dict[str, Any]
_METHODS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class Objects:
    """Answers requests below `/api/v1` and `/apis/GROUP/VERSION`."""

    def __init__(self, cluster: Cluster, logs: KubeletLogs) -> None:
        self._cluster, self._logs = cluster, logs

    async def handle(self, http: web.Request, warnings: list[str]) -> web.StreamResponse:
        """Answer one request; warnings for the client are added to `warnings`. Raises StatusError."""
        target = parse(http.path)
        if target is None:
            raise no_such_path()
        resource = self._cluster.registry.find(target.group, target.version, target.plural)
        if resource is None or (target.namespace and not resource.namespaced):
            raise no_such_path()
        request = Request(
            resource,
            target.namespace,
            target.name,
            target.subresource,
            dict(http.query),
            _manager(http),
            warnings=warnings,
        )
        verb = _verb(http, request, target)
        if target.subresource == "log":
            return await self._logs.send(self._cluster, request, http)
        form = wanted(http.headers.get("Accept", ""))
        if verb == "watch":
            return await stream_watch(self._cluster, request, form, http)
        if verb == "list":
            return self._list(request, form)
        if verb == "get":
            stored = get(self._cluster, request)
            if request.subresource == "scale":
                return _send(form, subresources.scale_of(request, stored.obj))
            return self._send_object(request, form, from_storage(resource, stored.obj), 200)
        media = http.content_type if "Content-Type" in http.headers else ""
        body = parse_body(media, await http.read())
        return self._write(request, form, verb, media, body)

    def _write(self, request: Request, form: Wanted, verb: str, media: str, body: Any) -> web.Response:
        cluster = self._cluster
        if request.resource.plural in REVIEWS:
            return _send(form, review(cluster, request, body), 201)
        if request.subresource in ("binding", "eviction") or request.resource.plural == "bindings":
            return self._act(request, form, body)
        if request.subresource == "scale":
            return _send(form, subresources.write_scale(cluster, request, body, verb == "patch"))
        if verb == "create":
            return self._send_object(request, form, create(cluster, request, body), 201)
        if verb == "update":
            return self._send_object(request, form, update(cluster, request, body), 200)
        if verb == "patch":
            obj, created = patch(cluster, request, media, body)
            return self._send_object(request, form, obj, 201 if created else 200)
        options = read_options(request, body)
        if verb == "deletecollection":
            items = delete_collection(cluster, request, options)
            return _send(
                form,
                {**self._head(request), "metadata": {"resourceVersion": str(cluster.store.version)}, "items": items},
            )
        obj, gone = delete(cluster, request, options)
        result = answer(request, obj, gone)
        return _send(form, result) if result["kind"] == "Status" else self._send_object(request, form, result, 200)

    def _act(self, request: Request, form: Wanted, body: Any) -> web.Response:
        if request.subresource == "eviction":
            return _send(form, subresources.evict(self._cluster, request, body), 201)
        if request.resource.plural == "bindings":
            pods = self._cluster.registry.find("", "v1", "pods")
            assert pods is not None
            name = (body.get("metadata") or {}).get("name", "") if isinstance(body, dict) else ""
            request = Request(pods, request.namespace, name, "binding", request.query, request.manager)
        return _send(form, subresources.bind(self._cluster, request, body), 201)

    def _head(self, request: Request) -> Obj:
        resource = request.resource
        return {"kind": resource.list_kind, "apiVersion": resource.api_version}

    def _list(self, request: Request, form: Wanted) -> web.Response:
        page = list_objects(self._cluster, request)
        resource = request.resource
        if form.form == "Table":
            objects = [from_storage(resource, item.obj) for item in page.items]
            return _send(form, self._table(request, objects, page.meta))
        if form.form:
            metas = [partial(item.obj) for item in page.items]
            head = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": page.meta}
            return _send(form, {**head, "items": metas})
        if form.yaml:
            items = [from_storage(resource, item.obj) for item in page.items]
            return _send(form, {**self._head(request), "metadata": page.meta, "items": items})
        head_text = form.render({**self._head(request), "metadata": page.meta})
        texts = [self._raw(request, item) for item in page.items]
        return web.Response(
            body=head_text[:-1] + b',"items":[' + b",".join(texts) + b"]}", content_type="application/json"
        )

    def _raw(self, request: Request, item: Stored) -> bytes:
        obj = from_storage(request.resource, item.obj)
        return item.raw if obj is item.obj else Wanted().render(obj)

    def _table(self, request: Request, objects: list[Obj], meta: Obj) -> Obj:
        include = request.query.get("includeObject", "Metadata")
        return table.as_table(
            request.resource, objects, list_meta=meta, include_object=include, now=self._cluster.clock()
        )

    def _send_object(self, request: Request, form: Wanted, obj: Obj, code: int) -> web.Response:
        if form.form == "Table":
            meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            return _send(form, self._table(request, [obj], meta), code)
        return _send(form, partial(obj) if form.form else obj, code)


def _send(form: Wanted, body: Obj, code: int = 200) -> web.Response:
    return web.Response(status=code, body=form.render(body), content_type=form.content_type)


def _manager(http: web.Request) -> str:
    """Name the writer of fields: as it says, else the first word of its User-Agent."""
    agent = http.headers.get("User-Agent", "unknown").split("/")[0]
    return (http.query.get("fieldManager") or agent)[:128]


def _verb(http: web.Request, request: Request, target: Target) -> str:
    """Return the verb of a method on a path; StatusError 404 or 405 when the resource does not know it."""
    resource = request.resource
    verb = _METHODS.get(http.method, "")
    if not target.name and verb == "get":
        verb = "watch" if request.flag("watch") else "list"
    elif target.name and verb == "get" and not target.subresource and request.flag("watch"):
        verb = "watch"
    elif not target.name and verb == "delete":
        verb = "deletecollection"
    allowed = resource.verbs
    if target.subresource:
        if target.subresource not in resource.subresources:
            raise no_such_path()
        allowed = resource.subresources[target.subresource]["verbs"]
    across = resource.namespaced and not target.namespace and resource.plural not in REVIEWS
    if verb not in allowed or (across and verb not in ("list", "watch", "deletecollection")):
        raise method_not_allowed()
    named = bool(target.name)
    if verb != "watch" and named != (verb in ("get", "update", "patch", "delete") or bool(target.subresource)):
        raise method_not_allowed()
    return verb
