"""Streams: watches as JSON lines, logs from the kubelet."""

import json
from typing import Any

from aiohttp import web

from kubetune_local.apiserver import table
from kubetune_local.apiserver.cluster import Cluster, Request
from kubetune_local.apiserver.http.media import Wanted
from kubetune_local.apiserver.verbs.bodies import from_storage
from kubetune_local.apiserver.verbs.watch import Change, Watch

Obj = dict[str, Any]


def partial(obj: Obj) -> Obj:
    """Return an object with nothing but its metadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


class _Lines:
    """Writes changes in the form that the client wants."""

    def __init__(self, cluster: Cluster, request: Request, wanted: Wanted) -> None:
        self._cluster, self._request, self._wanted = cluster, request, wanted
        self._headers = True

    def line(self, change: Change) -> bytes:
        resource = self._request.resource
        stored = change.stored
        if stored is not None and not self._wanted.form and from_storage(resource, stored.obj) is stored.obj:
            return b'{"type":"%s","object":%s}\n' % (change.type.encode(), stored.raw)
        obj = from_storage(resource, stored.obj) if stored is not None else change.obj
        assert obj is not None
        if change.type != "ERROR":
            obj = self._formed(change, obj)
        return (
            json.dumps({"type": change.type, "object": obj}, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        )

    def _formed(self, change: Change, obj: Obj) -> Obj:
        if self._wanted.form == "Table":
            rows = [] if change.type == "BOOKMARK" else [obj]
            shown = table.as_table(
                self._request.resource,
                rows,
                list_meta={"resourceVersion": obj["metadata"]["resourceVersion"]},
                include_object=self._request.query.get("includeObject", "Metadata"),
                now=self._cluster.clock(),
                headers=self._headers,
            )
            if change.type == "BOOKMARK":
                shown["rows"] = [{"cells": [], "object": partial(obj)}]
            self._headers = False
            return shown
        return partial(obj) if self._wanted.form else obj


async def stream_watch(cluster: Cluster, request: Request, wanted: Wanted, http: web.Request) -> web.StreamResponse:
    """Send the changes of a watch until it ends or the client leaves."""
    watch = Watch(cluster, request)
    answer = web.StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"})
    answer.enable_chunked_encoding()
    await answer.prepare(http)
    lines = _Lines(cluster, request, wanted)
    try:
        async for batch in watch.changes():
            await answer.write(b"".join(map(lines.line, batch))) if batch else None
        await answer.write_eof()
    except ConnectionError:
        pass
    return answer
