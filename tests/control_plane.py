"""A bare control plane for tests: etcd and kube-apiserver of $KUBEBUILDER_ASSETS, with RBAC and no controllers.

Enough for what an API server alone decides: definitions, schemas, rules, rights, `explain` and table printing.
"""

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubetune_api.crdgen import KINDS, custom_resource_definition
from kubetune_cli.access import ApiError, Cluster, Unreachable, Where
from kubetune_local.kubeconfig import write_kubeconfig
from kubetune_local.launch.pki import Pki
from kubetune_local.launch.programs import free_ports

ASSETS = "KUBEBUILDER_ASSETS"
READY_SECONDS = 120.0
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
AUDIT_POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
"""


def is_available() -> bool:
    """Return whether the environment names a folder with a control plane's programs."""
    return bool(os.environ.get(ASSETS))


def wait_for(what: str, check: Any, seconds: float = READY_SECONDS) -> Any:
    """Return the first true answer of `check`.

    Raises:
        AssertionError: there was none in time.
    """
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not (answer := check()):
        assert time.monotonic() < deadline, f"{what}: not after {seconds:.0f} s"
        pause.wait(0.1)
    return answer


class ControlPlane:
    """A running API server, its administrator, and its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self._pki = Pki(folder / "pki")
        self.token = self._pki.token("admin")
        self._programs: list[subprocess.Popen[bytes]] = []

    @property
    def admin(self) -> Cluster:
        """Requests as an administrator."""
        return Cluster(Where(kubeconfig=str(self.kubeconfig("admin", self.token))))

    def kubeconfig(self, name: str, token: str) -> Path:
        """Write and return a kubeconfig for a bearer token."""
        path = self.folder / f"{name}.kubeconfig"
        write_kubeconfig(path, self.url, token=token, ca_file=self.folder / "certs/apiserver.crt", name=name)
        return path

    def kubectl(self, *arguments: str) -> str:
        """Return what kubectl prints, as the administrator."""
        program = Path(os.environ[ASSETS]) / "kubectl"
        environ = os.environ | {"KUBECONFIG": str(self.kubeconfig("admin", self.token)), "HOME": str(self.folder)}
        done = subprocess.run([program, *arguments], env=environ, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def audit(self, user: str) -> list[dict[str, Any]]:
        """Return what a user asked for and was answered, in the order of the audit log."""
        lines = (self.folder / "audit.log").read_text().splitlines()
        events: list[dict[str, Any]] = [json.loads(line) for line in lines if line.endswith("}")]
        return [event for event in events if event["user"]["username"] == user]

    def install_definitions(self) -> None:
        """Create the definitions of both kinds and wait until they are served."""
        for kind in KINDS:
            self.admin.request("POST", CRDS, custom_resource_definition(kind))
        self.wait_until_served()

    def wait_until_served(self) -> None:
        """Wait until both kinds are served."""
        for kind in KINDS:
            wait_for(f"{kind.__name__} is served", lambda name=kind.__name__: self._serves(name))

    def _serves(self, kind: str) -> bool:
        try:
            self.admin.request("GET", self.admin.path(kind))
        except ApiError as error:
            if error.status in (404, 429, 503):  # 429: the storage of a new definition is being initialised
                return False
            raise
        return True

    def start(self) -> None:
        """Start etcd and the API server, and wait until it is ready."""
        store, peers, port = free_ports(3)
        self.url = f"https://127.0.0.1:{port}"
        here = f"http://127.0.0.1:{store}"
        there = f"http://127.0.0.1:{peers}"
        self._start("etcd", data_dir=self.folder / "etcd", listen_client_urls=here, advertise_client_urls=here,
                    listen_peer_urls=there, initial_advertise_peer_urls=there, initial_cluster=f"default={there}",
                    unsafe_no_fsync="true")  # fmt: skip
        (self.folder / "tokens.csv").write_text(f'{self.token},admin,admin,"system:masters"\n')
        (self.folder / "audit.yaml").write_text(AUDIT_POLICY)
        key = self._pki.service_account_key()
        issuer = "https://kubernetes.default.svc"
        self._start("kube-apiserver", etcd_servers=here, secure_port=port, bind_address="127.0.0.1",
                    cert_dir=self.folder / "certs", service_cluster_ip_range="10.0.0.0/24",
                    service_account_issuer=issuer, service_account_key_file=key,
                    service_account_signing_key_file=key,
                    token_auth_file=self.folder / "tokens.csv", authorization_mode="RBAC",
                    audit_policy_file=self.folder / "audit.yaml", audit_log_path=self.folder / "audit.log",
                    disable_admission_plugins="ServiceAccount")  # fmt: skip
        wait_for("the API server is ready", self._is_ready)

    def _start(self, name: str, **flags: Any) -> None:
        program = Path(os.environ[ASSETS]) / name
        command = [str(program), *(f"--{flag.replace('_', '-')}={value}" for flag, value in flags.items())]
        with (self.folder / f"{name}.log").open("wb") as log:
            self._programs.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder))

    def _is_ready(self) -> bool:
        for program in self._programs:
            assert program.poll() is None, f"{program.args} ended: see the logs in {self.folder}"
        if not (self.folder / "certs/apiserver.crt").exists():
            return False
        try:
            self.admin.request("GET", "/api/v1/namespaces/default")
        except (ApiError, Unreachable):
            return False
        return True

    def stop(self) -> None:
        """End both programs at once: nobody needs their data again."""
        for program in self._programs:
            program.kill()
        for program in self._programs:
            program.wait(30)


@contextmanager
def control_plane(folder: Path) -> Iterator[ControlPlane]:
    """Run a control plane with its data in `folder`."""
    plane = ControlPlane(folder)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()
