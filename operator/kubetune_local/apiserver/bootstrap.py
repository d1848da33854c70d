"""What a fresh cluster holds."""

from typing import Any

from kubetune_local.apiserver.cluster import NAMESPACES, Cluster, Request
from kubetune_local.apiserver.kinds.definitions import resources_of
from kubetune_local.apiserver.verbs.create import create

Obj = dict[str, Any]
_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_PRIORITIES = {
    "system-cluster-critical": (
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
    "system-node-critical": (
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
}
_DEFINITIONS = ("apiextensions.k8s.io", "customresourcedefinitions")


def bootstrap(cluster: Cluster) -> None:
    """Create what is missing, and serve what the stored definitions define."""
    for name in _NAMESPACES:
        if cluster.store.get(NAMESPACES, "", name) is None:
            _create(cluster, ("", "v1", "namespaces"), {"metadata": {"name": name}})
    for name, (value, text) in _PRIORITIES.items():
        if cluster.store.get(("scheduling.k8s.io", "priorityclasses"), "", name) is None:
            body = {"metadata": {"name": name}, "value": value, "description": text}
            _create(cluster, ("scheduling.k8s.io", "v1", "priorityclasses"), body)
    for stored in cluster.store.list(_DEFINITIONS):
        for resource in resources_of(stored.obj):
            cluster.registry.add(resource)


def _create(cluster: Cluster, path: tuple[str, str, str], body: Obj) -> None:
    resource = cluster.registry.find(*path)
    assert resource is not None, path
    create(cluster, Request(resource, manager="kube-apiserver"), body)
