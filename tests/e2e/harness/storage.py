"""Volumes for workspaces: the cluster's own storage class, or folders of its one node where it has none."""

from __future__ import annotations

import secrets

from e2e.harness.cluster import JSON, Cluster
from e2e.harness.images import Image

NAMESPACE = "kubetune-e2e-storage"
CLASS = "kubetune-e2e"
VOLUMES = 40
ROOT = "/var/tmp/kubetune-e2e"
_DEFAULT = "storageclass.kubernetes.io/is-default-class"


class Storage:
    """Where claims of the scenarios are bound."""

    def __init__(self, cluster: Cluster, image: Image) -> None:
        self.cluster = cluster
        self.image = image
        self.name = f"kubetune-e2e-{secrets.token_hex(4)}"
        self.folder = f"{ROOT}/{self.name}"
        classes = cluster.list("storageclasses", "default")
        has_default = any((each["metadata"].get("annotations") or {}).get(_DEFAULT) == "true" for each in classes)
        self.class_name = None if has_default else CLASS
        if not has_default:
            self._make()

    def _make(self) -> None:
        label = {"pod-security.kubernetes.io/enforce": "privileged"}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": label}}
        provisioner = "kubernetes.io/no-provisioner"
        made = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": CLASS}}
        self.cluster.apply(namespace, made | {"provisioner": provisioner, "volumeBindingMode": "Immediate"})
        self._as_root("make", f"cd {self.folder} && mkdir $(seq {VOLUMES}) && chmod 0777 *")
        self.cluster.apply(*(self._volume(number) for number in range(1, VOLUMES + 1)))

    def _volume(self, number: int) -> JSON:
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"{self.name}-{number}"},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": CLASS,
                "hostPath": {"path": f"{self.folder}/{number}"},
            },
        }

    def _as_root(self, name: str, script: str) -> None:
        """Run a line of shell in the node's folder: folders of a node belong to root until somebody says otherwise."""
        container = {
            "name": "shell",
            "image": self.image.name,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-ec", f"mkdir -p {self.folder} && {script}"],
            "securityContext": {"runAsUser": 0},
            "volumeMounts": [{"name": "node", "mountPath": ROOT}],
        }
        volume = {"name": "node", "hostPath": {"path": ROOT, "type": "DirectoryOrCreate"}}
        spec = {"restartPolicy": "Never", "containers": [container], "volumes": [volume]}
        metadata = {"name": f"{name}-{secrets.token_hex(3)}", "namespace": NAMESPACE}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        self.cluster.wait_for("serviceaccount", "default", NAMESPACE, lambda found: True, "is made", 30)
        self.cluster.apply(pod)
        self.cluster.wait_for(
            "pod", metadata["name"], NAMESPACE, lambda found: found["status"]["phase"] == "Succeeded", "done", 120
        )

    def stop(self) -> None:
        """Remove the folders."""
        if self.class_name:
            self._as_root("remove", f"rm -rf {self.folder}")
