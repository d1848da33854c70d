"""Where a pvc:// path of the local cluster lies on this machine."""

from pathlib import Path
from urllib.parse import urlsplit

from .access import ApiError, Cluster


def local_path(cluster: Cluster, uri: str) -> Path | None:
    """Return the path of a pvc:// or file:// uri on this machine, or None when it is elsewhere."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(parts.path)
    if parts.scheme != "pvc":
        return None
    try:
        claim = cluster.request("GET", f"/api/v1/namespaces/{cluster.namespace}/persistentvolumeclaims/{parts.netloc}")
        volume = cluster.request("GET", f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}")
    except (ApiError, KeyError):
        return None
    spec = volume["spec"]
    root = (spec.get("hostPath") or spec.get("local") or {}).get("path")
    return Path(root) / parts.path.lstrip("/") if root else None
