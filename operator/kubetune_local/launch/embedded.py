"""The embedded cluster: API server and controllers in this process, their objects in one SQLite file."""

from __future__ import annotations

import ssl
from pathlib import Path

from kubetune_local.apiserver.server import ApiServer
from kubetune_local.kubeconfig import KubeConfig

from .control_plane import Endpoint
from .controllers import ControllerTask
from .pki import Pki
from .programs import LaunchError, kept_port


class Embedded:
    """The API server of a folder and its controllers."""

    def __init__(self, directory: Path, pki: Pki) -> None:
        self._directory = directory
        self._pki = pki
        self._server: ApiServer | None = None
        self._controllers = ControllerTask(directory / "volumes")

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
        await self._controllers.start(config)

    async def watch(self) -> None:
        """Return never; raise when the controllers have ended."""
        await self._controllers.watch()

    async def stop_controllers(self) -> None:
        """Stop the controllers, so that nothing is replaced while pods are stopped."""
        await self._controllers.stop()

    async def stop(self) -> None:
        """Stop the API server."""
        if self._server is not None:
            await self._server.stop()
