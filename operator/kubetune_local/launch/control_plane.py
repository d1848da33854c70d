"""A real control plane: etcd, kube-apiserver, kube-controller-manager and kube-scheduler as processes."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kubetune_local.client import UNREACHABLE, ApiError, KubeClient
from kubetune_local.controllers.run import ALL
from kubetune_local.kubeconfig import KubeConfig, load_kubeconfig, write_kubeconfig

from .controllers import ControllerTask
from .pki import Pki
from .programs import LaunchError, Programs, free_ports, kept_port

VARIABLE = "KUBEBUILDER_ASSETS"
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
NOT_IN_KUBERNETES = ("volumes",)
"""Our controllers that work here too: Kubernetes itself has no provisioner of volumes."""
READY_SECONDS = 60.0
ATTEMPTS = 3
_QPS = ["--kube-api-qps=300", "--kube-api-burst=600"]


def find_programs() -> dict[str, str]:
    """Return the path of each program: from the folder that $KUBEBUILDER_ASSETS names, else from $PATH.

    Raises:
        LaunchError: one of them is not there.
    """
    folder = os.environ.get(VARIABLE)
    found = {name: shutil.which(name, path=folder or None) for name in PROGRAMS}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        where = f"{VARIABLE}={folder} has" if folder else f"{VARIABLE} is not set, and the PATH has"
        raise LaunchError(
            f"{where} no {', '.join(missing)}. Let {VARIABLE} name a folder with {', '.join(PROGRAMS)}: "
            "`setup-envtest use -p path` brings the first two, the Kubernetes release has the others"
        )
    return {name: path for name, path in found.items() if path is not None}


@dataclass(frozen=True)
class Endpoint:
    """Where the API server is, and who we are there."""

    server: str
    token: str
    ca: Path


class ControlPlane:
    """The four programs with their data in one folder; `start()` returns when the API server is ready."""

    def __init__(self, directory: Path, pki: Pki) -> None:
        self.directory = directory
        self.programs = Programs(directory / "logs")
        self.pki = pki
        self._paths = find_programs()
        self._controllers = ControllerTask(directory / "volumes", [name for name in NOT_IN_KUBERNETES if name in ALL])

    async def start(self) -> Endpoint:
        """Start everything. Raises `LaunchError` when a program does not come up."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._start()
            except LaunchError as error:
                (self.directory / "port").unlink(missing_ok=True)
                await self.programs.stop()
                if attempt == ATTEMPTS or "address already in use" not in str(error):
                    raise
        raise AssertionError("the loop returns or raises")

    async def _start(self) -> Endpoint:
        port = kept_port(self.directory / "port")
        client_port, peer_port = free_ports(2)
        self.programs.start("etcd", self._etcd(client_port, peer_port))
        self.programs.start("kube-apiserver", self._api_server(f"http://127.0.0.1:{client_port}", port))
        endpoint = Endpoint(f"https://127.0.0.1:{port}", self.pki.token("admin"), self.pki.ca.certificate)
        await self._ready(endpoint, "/readyz", "/api/v1/namespaces/default")
        self._start_clients(endpoint)
        await self._ready(endpoint, "/api/v1/namespaces/default/serviceaccounts/default")
        return endpoint

    def _etcd(self, client_port: int, peer_port: int) -> list[str]:
        peer = f"http://127.0.0.1:{peer_port}"
        client = f"http://127.0.0.1:{client_port}"
        return [
            self._paths["etcd"],
            f"--data-dir={self.directory / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--log-level=warn",
        ]

    def _api_server(self, etcd: str, port: int) -> list[str]:
        serving = self.pki.server("kube-apiserver")
        to_kubelet = self.pki.client("kubelet-client", "kube-apiserver-kubelet-client", "system:masters")
        service_accounts = self.pki.service_account_key()
        return [
            self._paths["kube-apiserver"],
            f"--etcd-servers={etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--client-ca-file={self.pki.ca.certificate}",
            f"--kubelet-client-certificate={to_kubelet.certificate}",
            f"--kubelet-client-key={to_kubelet.key}",
            f"--kubelet-certificate-authority={self.pki.ca.certificate}",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={service_accounts}",
            f"--service-account-signing-key-file={service_accounts}",
            f"--token-auth-file={self._tokens()}",
            "--authorization-mode=RBAC",
            "--anonymous-auth=false",
            "--allow-privileged=true",
            "--profiling=false",
        ]

    def _tokens(self) -> Path:
        """Write the file of users: the administrator, and the two clients with the rights of a real cluster."""
        path = self.directory / "pki" / "tokens.csv"
        rows = [f'{self.pki.token("admin")},admin,admin,"system:masters"']
        rows += [f"{self.pki.token(name)},system:{name},{name}" for name in PROGRAMS[2:]]
        path.touch(mode=0o600)
        path.write_text("\n".join(rows) + "\n")
        return path

    def _start_clients(self, endpoint: Endpoint) -> None:
        """Start the controllers, each as the user that it is in a real cluster."""
        manager = [
            self._paths["kube-controller-manager"],
            f"--service-account-private-key-file={self.pki.service_account_key()}",
            f"--root-ca-file={self.pki.ca.certificate}",
            "--use-service-account-credentials",
            "--node-monitor-period=1s",
        ]
        for name, command in ((PROGRAMS[2], manager), (PROGRAMS[3], [self._paths[PROGRAMS[3]]])):
            kubeconfig = self.directory / "pki" / f"{name}.kubeconfig"
            write_kubeconfig(kubeconfig, endpoint.server, token=self.pki.token(name), ca_file=endpoint.ca)
            common = [f"--kubeconfig={kubeconfig}", "--leader-elect=false", "--secure-port=0", "--profiling=false"]
            self.programs.start(name, [*command, *common, *_QPS])

    async def _ready(self, endpoint: Endpoint, *paths: str) -> None:
        """Wait until the API server answers each of the paths."""
        kubeconfig = self.directory / "pki" / "admin.kubeconfig"
        config = kube_config(endpoint, kubeconfig)
        async with KubeClient(config, timeout=2.0) as client:
            try:
                async with asyncio.timeout(READY_SECONDS):
                    while not await _answers(client, paths):
                        self.programs.check()
                        await asyncio.sleep(0.05)
            except TimeoutError:
                late = f"no answer from {paths[-1]} after {READY_SECONDS:.0f} s"
                raise LaunchError(f"{late}; the logs are in {self.programs.logs}") from None

    async def start_controllers(self, config: KubeConfig) -> None:
        """Start what Kubernetes leaves to others: the provisioner of volumes."""
        await self._controllers.start(config)

    async def watch(self) -> None:
        """Raise `LaunchError` when a program, or the provisioner, has ended."""
        watches = [asyncio.create_task(each) for each in (self.programs.watch(), self._controllers.watch())]
        try:
            done, _ = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        finally:
            for each in watches:
                each.cancel()

    async def stop(self) -> None:
        """Stop the programs, the writers before the written."""
        await self.stop_controllers()
        await self.programs.stop("kube-apiserver")
        await self.programs.stop()

    async def stop_controllers(self) -> None:
        """Stop the controllers, so that nothing is replaced while pods are stopped."""
        await self._controllers.stop()
        await self.programs.stop("kube-controller-manager", "kube-scheduler")


async def _answers(client: KubeClient, paths: Iterable[str]) -> bool:
    try:
        for path in paths:
            await client.request("GET", path)
    except (ApiError, *UNREACHABLE):
        return False
    return True


def kube_config(endpoint: Endpoint, path: Path) -> KubeConfig:
    """Write the kubeconfig of people, and return it."""
    write_kubeconfig(path, endpoint.server, token=endpoint.token, ca_file=endpoint.ca)
    return load_kubeconfig(path)
