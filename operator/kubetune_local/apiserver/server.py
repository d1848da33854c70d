"""The API server as one object: `await ApiServer().start()` returns its URL."""

import secrets
import ssl
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from aiohttp import web

from kubetune_local import timestamps
from kubetune_local.apiserver.bootstrap import bootstrap
from kubetune_local.apiserver.cluster import Cluster
from kubetune_local.apiserver.conversions import share_events
from kubetune_local.apiserver.http.app import application
from kubetune_local.apiserver.http.logs import KubeletLogs
from kubetune_local.apiserver.resources import Registry
from kubetune_local.apiserver.storage.backend import Backend, MemoryBackend, SQLiteBackend
from kubetune_local.apiserver.storage.store import DEFAULT_HISTORY, Store


class ApiServer:
    """Serves one cluster on a loopback address.

    Args:
        data: The SQLite file that keeps the objects; None keeps them in memory.
        host: Address to bind.
        port: Port to bind; 0 chooses a free one.
        token: What clients must send as bearer token; made up when None, see the attribute.
        tls: Serve https with this context; plain http when None.
        kubelet_tls: How to reach kubelets for logs: their CA and our client certificate; plain http when None.
        kubelet_token: Bearer token for kubelets that want one.
        history: How many changes of each collection a watch can start from.
        clock: The present.
    """

    def __init__(
        self,
        data: Path | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        kubelet_tls: ssl.SSLContext | None = None,
        kubelet_token: str | None = None,
        history: int = DEFAULT_HISTORY,
        clock: Callable[[], datetime] = timestamps.now,
    ) -> None:
        self.token = token or secrets.token_hex(32)
        self.url = ""
        backend: Backend = MemoryBackend() if data is None else SQLiteBackend(data)
        self.cluster = Cluster(Store(backend, history), Registry(), clock)
        self._host, self._port, self._tls = host, port, tls
        self._logs = KubeletLogs(kubelet_tls, kubelet_token)
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Begin to serve; returns the base URL."""
        share_events(self.cluster.registry)
        bootstrap(self.cluster)
        app = application(self.cluster, self.token, self._logs)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, ssl_context=self._tls)
        await site.start()
        bound: int = self._runner.addresses[0][1]
        self.url = f"{'https' if self._tls else 'http'}://{self._host}:{bound}"
        return self.url

    async def stop(self) -> None:
        """End watches and logs, stop serving, close the store."""
        self.cluster.store.close()
        await self._logs.close()
        if self._runner is not None:
            await self._runner.cleanup()


async def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    data: Path | None = None,
    token: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> ApiServer:
    """Start a server and return it."""
    server = ApiServer(data, host=host, port=port, token=token, tls=tls)
    await server.start()
    return server
