"""One cluster from start to stop: API server, controllers, kubelet, and the kubeconfig that says it is ready."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import time
from pathlib import Path
from typing import Protocol

from kubetune_local.client import KubeClient
from kubetune_local.kubeconfig import KubeConfig
from kubetune_local.kubelet.kubelet import Kubelet
from kubetune_local.kubelet.settings import KubeletSettings, Serving

from .control_plane import ControlPlane, Endpoint, kube_config
from .options import Options
from .pki import Pki
from .programs import LaunchError

log = logging.getLogger(__name__)


class Master(Protocol):
    """What differs between the two worlds."""

    async def start(self) -> Endpoint:
        """Start the API server; return where it is."""

    async def start_controllers(self, config: KubeConfig) -> None:
        """Start what makes Jobs, binds claims, places pods and collects garbage, as far as it does not run yet."""

    async def watch(self) -> None:
        """Return never; raise when a part of it has died."""

    async def stop_controllers(self) -> None:
        """Stop the controllers."""

    async def stop(self) -> None:
        """Stop the API server."""


class Cluster:
    """The cluster of a folder."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._directory = options.directory
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _lock(self._directory)
        _refuse_other_world(self._directory, options.control_plane)
        self._pki = Pki(self._directory / "pki")
        self._master = self._choose()
        self._client: KubeClient | None = None
        self._kubelet: Kubelet | None = None

    def _choose(self) -> Master:
        if self._options.control_plane:
            return ControlPlane(self._directory, self._pki)
        from .embedded import Embedded

        return Embedded(self._directory, self._pki)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set. Raises `LaunchError` when a part does not start, or dies."""
        watcher = None
        try:
            await self._start()
            watcher = asyncio.create_task(self._master.watch())
            stopped = asyncio.create_task(stop.wait())
            done, _ = await asyncio.wait({watcher, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if watcher in done:
                watcher.result()
        finally:
            if watcher is not None:
                watcher.cancel()
            await self._stop()

    async def _start(self) -> None:
        begun = time.monotonic()
        kubeconfig = self._directory / "kubeconfig"
        kubeconfig.unlink(missing_ok=True)
        endpoint = await self._master.start()
        config = kube_config(endpoint, self._directory / "pki" / "admin.kubeconfig")
        self._client = KubeClient(config, user_agent="kubelet")
        self._kubelet = Kubelet(self._client, self._kubelet_settings(), self._serving())
        await asyncio.gather(self._kubelet.start(), self._master.start_controllers(config))
        kube_config(endpoint, kubeconfig)
        log.info("ready after %.1f s: export KUBECONFIG=%s", time.monotonic() - begun, kubeconfig)

    def _kubelet_settings(self) -> KubeletSettings:
        options = self._options
        return KubeletSettings(
            self._directory / "kubelet",
            options.node_name,
            options.accelerators,
            options.node_labels,
            mounts_variable=options.mounts_variable,
            hosts_variable=options.hosts_variable,
            termination_log_variable=options.termination_log_variable,
            shutdown_seconds=options.shutdown_seconds,
        )

    def _serving(self) -> Serving:
        pair = self._pki.server("kubelet")
        return Serving(pair.certificate, pair.key, client_ca=self._pki.ca.certificate)

    async def _stop(self) -> None:
        """Stop the controllers first: what the kubelet stops now is to be replaced at the next start."""
        await self._master.stop_controllers()
        if self._kubelet is not None:
            await self._kubelet.stop()
        if self._client is not None:
            await self._client.close()
        await self._master.stop()
        self.release()

    def release(self) -> None:
        """Let go of the folder."""
        os.close(self._lock)


def _refuse_other_world(directory: Path, control_plane: bool) -> None:
    """The two worlds keep their data apart: what one has made would seem lost in the other."""
    note, world = directory / "world", "control-plane" if control_plane else "embedded"
    if not note.exists():
        note.write_text(world + "\n")
    elif (before := note.read_text().strip()) != world:
        flag = "with" if before == "control-plane" else "without"
        raise LaunchError(
            f"{directory} holds the {before} cluster: start it {flag} --control-plane, or choose another folder"
        )


def _lock(directory: Path) -> int:
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise LaunchError(f"another cluster runs in {directory}; stop it first, or choose another folder") from None
    return descriptor
