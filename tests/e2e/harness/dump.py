"""What a failed scenario leaves behind, as files for a person."""

from __future__ import annotations

import shutil
from pathlib import Path

from e2e.harness.cluster import Cluster

KINDS = "finetunejobs,evalruns,jobs,pods,pvc,pv,services,configmaps,leases,nodes,deployments"
#: Namespaces of the cluster itself say nothing about ours.
FOREIGN = ("kube-system", "kube-public", "kube-node-lease", "default")


def dump(cluster: Cluster, folder: Path) -> None:
    """Write objects, events and logs of every namespace that is not the cluster's own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _write(cluster, folder / "nodes.txt", "describe", "nodes")
    for namespace in cluster.kubectl("get", "namespaces", "-o", "name").split():
        name = namespace.removeprefix("namespace/")
        if name in FOREIGN:
            continue
        _write(cluster, folder / f"{name}.objects.yaml", "get", KINDS, "-n", name, "-o", "yaml")
        _write(cluster, folder / f"{name}.describe.txt", "describe", KINDS.removesuffix(",nodes"), "-n", name)
        _write(cluster, folder / f"{name}.events.txt", "events", "-n", name)
        for pod in _try(cluster, "get", "pods", "-n", name, "-o", "name").split():
            plain = pod.removeprefix("pod/")
            _write(cluster, folder / f"{name}.{plain}.log", "logs", plain, "-n", name, "--all-containers")
            _write(cluster, folder / f"{name}.{plain}.previous.log", "logs", plain, "-n", name, "--previous")


def _write(cluster: Cluster, file: Path, *arguments: str) -> None:
    text = _try(cluster, *arguments)
    if text:
        file.write_text(text)


def _try(cluster: Cluster, *arguments: str) -> str:
    try:
        return cluster.kubectl(*arguments)
    except AssertionError as error:
        return f"{error}\n" if "previous terminated container" not in str(error) else ""
