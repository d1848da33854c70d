"""`pods/NAME/log`: asked of the kubelet of the pod's node, over its own API."""

import logging
import ssl
from typing import Any

import aiohttp
from aiohttp import web

from kubetune_local.apiserver.cluster import Cluster, Request
from kubetune_local.apiserver.errors import StatusError, bad_request, internal
from kubetune_local.apiserver.verbs.update import find

Obj = dict[str, Any]
log = logging.getLogger(__name__)
_PASSED = ("follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes")
_NODES = ("", "nodes")


class KubeletLogs:
    """Asks kubelets for logs. `tls` holds the client certificate that they know, and the CA of theirs."""

    def __init__(self, tls: ssl.SSLContext | None = None, token: str | None = None) -> None:
        self._tls = tls
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections; logs that are being followed end."""
        if self._session is not None:
            await self._session.close()

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0)
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout)
        return self._session

    async def send(self, cluster: Cluster, request: Request, http: web.Request) -> web.StreamResponse:
        """Stream the log of a container to the client; StatusError when there is none."""
        pod = find(cluster, request).obj
        container = _container(pod, request.query.get("container", ""))
        node = pod["spec"].get("nodeName", "")
        if not node:
            return web.Response(text="", content_type="text/plain")
        url = f"{_address(cluster, node, self._tls)}/containerLogs/{request.namespace}/{request.name}/{container}"
        query = {name: request.query[name] for name in _PASSED if name in request.query}
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            async with self._client().get(url, params=query, headers=headers, ssl=self._tls or True) as source:
                if source.status != 200:
                    raise _refused(source.status, (await source.text()).strip(), container, request.name)
                return await _copy(source, http)
        except aiohttp.ClientConnectionError as error:
            raise internal(f'Get "{url}": {error}') from None


async def _copy(source: aiohttp.ClientResponse, http: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
    answer.enable_chunked_encoding()
    await answer.prepare(http)
    try:
        async for chunk in source.content.iter_any():
            await answer.write(chunk)
        await answer.write_eof()
    except (aiohttp.ClientError, ConnectionError) as error:
        log.debug("log of %s ended: %s", http.path, error)
    return answer


def _refused(status: int, text: str, container: str, pod: str) -> StatusError:
    if status == 400:
        return bad_request(text)
    if status == 404:
        return StatusError(404, "NotFound", text, {})
    return internal(f"the kubelet answered {status}: {text}")


def _container(pod: Obj, asked: str) -> str:
    name, spec = pod["metadata"]["name"], pod["spec"]
    names = [item["name"] for item in spec.get("containers", ())]
    init = [item["name"] for item in spec.get("initContainers", ())]
    if asked:
        if asked not in (*names, *init):
            raise bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    if len(names) == 1 and not init:
        return str(names[0])
    if len(names) == 1:
        listed = f"choose one of: [{' '.join(names)}] or one of the init containers: [{' '.join(init)}]"
        raise bad_request(f"a container name must be specified for pod {name}, {listed}")
    raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]")


def _address(cluster: Cluster, name: str, tls: ssl.SSLContext | None) -> str:
    """Return where the kubelet of a node listens."""
    node = cluster.store.get(_NODES, "", name)
    status = node.obj.get("status", {}) if node is not None else {}
    port = status.get("daemonEndpoints", {}).get("kubeletEndpoint", {}).get("Port")
    addresses = {item["type"]: item["address"] for item in status.get("addresses", ())}
    host = addresses.get("InternalIP") or addresses.get("Hostname")
    if not port or not host:
        raise internal(f"node {name} tells no kubelet endpoint in its status")
    return f"{'https' if tls is not None else 'http'}://{host}:{port}"
