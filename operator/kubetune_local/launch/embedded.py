"""The embedded cluster: API server and controllers in this process, their objects in one SQLite file."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path

from kubetune_local.apiserver.server import ApiServer
from kubetune_local.client import KubeClient
from kubetune_local.controllers.run import run
from kubetune_local.kubeconfig import KubeConfig

from .control_plane import Endpoint
from .pki import Pki
from .programs import LaunchError, kept_port

#: A failed pod is replaced sooner than in a real cluster, where the first pause is 10 s: one machine, nobody to spare.
BACK_OFF_SECONDS = 1.0
READY_SECONDS = 30.0


class Embedded:
    """The API server of a folder and its controllers."""

    def __init__(self, directory: Path, pki: Pki) -> None:
        self._directory = directory
        self._pki = pki
        self._server: ApiServer | None = None
        self._client: KubeClient | None = None
        self._controllers: asyncio.Task[None] | None = None

    async def start(self) -> Endpoint:
        """Start the API server. Raises `LaunchError` when it does not come up."""
        token = self._pki.token("admin")
        self._server = ApiServer(
            self._directory / "objects.sqlite",
            port=kept_port(self._directory / "port"),
            token=token,
            tls=self._serving(),
            kubelet_tls=self._to_kubelet(),
        )
        try:
            url = await self._server.start()
        except OSError as error:
            (self._directory / "port").unlink(missing_ok=True)
            raise LaunchError(f"the API server cannot listen: {error}") from error
        return Endpoint(url, token, self._pki.ca.certificate)

    def _serving(self) -> ssl.SSLContext:
        pair = self._pki.server("kube-apiserver")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pair.certificate, pair.key)
        return context

    def _to_kubelet(self) -> ssl.SSLContext:
        pair = self._pki.client("kubelet-client", "kube-apiserver-kubelet-client", "system:masters")
        context = ssl.create_default_context(cafile=str(self._pki.ca.certificate))
        context.load_cert_chain(pair.certificate, pair.key)
        return context

    async def start_controllers(self, config: KubeConfig) -> None:
        """Start every controller; return when they have seen what is there."""
        ready = asyncio.Event()
        self._client = KubeClient(config, user_agent="controllers")
        work = run(
            self._client,
            volumes_dir=self._directory / "volumes",
            back_off_seconds=BACK_OFF_SECONDS,
            ready=ready,
        )
        self._controllers = asyncio.create_task(work, name="controllers")
        waiting = asyncio.create_task(ready.wait())
        tasks = {waiting, self._controllers}
        await asyncio.wait(tasks, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not ready.is_set():
            raise LaunchError(f"the controllers did not start within {READY_SECONDS:.0f} s")

    async def watch(self) -> None:
        """Return never; raise when the controllers have ended."""
        assert self._controllers is not None
        await asyncio.shield(self._controllers)
        raise LaunchError("the controllers ended")

    async def stop_controllers(self) -> None:
        """Stop the controllers, so that nothing is replaced while pods are stopped."""
        if self._controllers is not None:
            self._controllers.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._controllers
        if self._client is not None:
            await self._client.close()

    async def stop(self) -> None:
        """Stop the API server."""
        if self._server is not None:
            await self._server.stop()
