"""A real control plane for measurements: an audit log, a user for the operator, and no limits of the clients."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from kubetune_local.client import KubeClient
from kubetune_local.kubeconfig import KubeConfig, write_kubeconfig
from kubetune_local.launch.control_plane import PROGRAMS, ControlPlane, Endpoint, kube_config
from kubetune_local.launch.pki import Pki

OPERATOR = "system:serviceaccount:kubetune-system:kubetune"
"""The user that the operator is: a service account, so that the API server's fairness treats it as in a cluster."""
JOB_CONTROLLER = "system:serviceaccount:kube-system:job-controller"
BENCH = "admin"
CONTROLLERS = (
    "job-controller,garbage-collector-controller,namespace-controller,serviceaccount-controller,"
    "root-ca-certificate-publisher-controller,pod-garbage-collector-controller"
)
POLICY = f"""
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Request
    users: ["{OPERATOR}"]
    verbs: [create, update, patch, delete, deletecollection]
  - level: Request
    users: ["{JOB_CONTROLLER}"]
    verbs: [create]
    resources: [{{group: "", resources: [pods]}}]
  - level: Metadata
    users: ["{BENCH}"]
    verbs: [create, patch]
    resources:
      - {{group: kubetune.io, resources: [finetunejobs]}}
      - {{group: "", resources: [pods/status]}}
  - level: None
"""


class AuditedPlane(ControlPlane):
    """etcd, kube-apiserver and kube-controller-manager; no scheduler: the hollow kubelet takes every pod."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        super().__init__(directory, Pki(directory / "pki"))
        self.audit_log = directory / "audit.log"
        self._operator_token = secrets.token_hex(32)
        self.endpoint: Endpoint | None = None

    async def start(self) -> Endpoint:
        """Start the programs, and give the operator its rights."""
        self.endpoint = await super().start()
        async with KubeClient(self.admin()) as client:
            await client.request(
                "POST",
                "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
                body={
                    "apiVersion": "rbac.authorization.k8s.io/v1",
                    "kind": "ClusterRoleBinding",
                    "metadata": {"name": "operator"},
                    "roleRef": {
                        "apiGroup": "rbac.authorization.k8s.io",
                        "kind": "ClusterRole",
                        "name": "cluster-admin",
                    },
                    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": OPERATOR}],
                },
            )
        return self.endpoint

    def admin(self) -> KubeConfig:
        """Return the access of the benchmark."""
        assert self.endpoint is not None
        return kube_config(self.endpoint, self.directory / "admin.kubeconfig")

    def operator_kubeconfig(self) -> Path:
        """Write and return the access of the operator."""
        assert self.endpoint is not None
        path = self.directory / "operator.kubeconfig"
        write_kubeconfig(path, self.endpoint.server, token=self._operator_token, ca_file=self.endpoint.ca)
        return path

    def _api_server(self, etcd: str, port: int) -> list[str]:
        policy = self.directory / "audit.yaml"
        policy.write_text(POLICY)
        audit = [f"--audit-policy-file={policy}", f"--audit-log-path={self.audit_log}", "--audit-log-mode=batch"]
        return [*super()._api_server(etcd, port), *audit, "--audit-log-batch-max-wait=1s"]

    def _tokens(self) -> Path:
        path = super()._tokens()
        groups = "system:serviceaccounts,system:serviceaccounts:kubetune-system"
        with path.open("a") as rows:
            rows.write(f'{self._operator_token},{OPERATOR},operator,"{groups}"\n')
        return path

    def _start_clients(self, endpoint: Endpoint) -> None:
        name = PROGRAMS[2]
        kubeconfig = self.directory / "pki" / f"{name}.kubeconfig"
        write_kubeconfig(kubeconfig, endpoint.server, token=self.pki.token(name), ca_file=endpoint.ca)
        command = [
            self._paths[name],
            f"--kubeconfig={kubeconfig}",
            f"--service-account-private-key-file={self.pki.service_account_key()}",
            f"--root-ca-file={self.pki.ca.certificate}",
            "--use-service-account-credentials",
            f"--controllers={CONTROLLERS}",
            "--concurrent-job-syncs=20",
            "--kube-api-qps=300",
            "--kube-api-burst=600",
            "--leader-elect=false",
            "--secure-port=0",
            "--profiling=false",
        ]
        self.programs.start(name, command)


def missing() -> list[str]:
    """Return the programs that $KUBEBUILDER_ASSETS should name and does not."""
    folder = os.environ.get("KUBEBUILDER_ASSETS", "")
    return [name for name in PROGRAMS if not (Path(folder) / name).exists()] if folder else list(PROGRAMS)
