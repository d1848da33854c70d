"""What a kubelet may be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Serving:
    """How the kubelet's own endpoint is served, and who may ask it: holders of a client certificate or of the token."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    token: str | None = None


@dataclass(frozen=True)
class KubeletSettings:
    """Settings of one kubelet."""

    directory: Path
    """Everything about its pods lies here: state, volumes, logs."""
    node_name: str = "local"
    accelerators: tuple[str, ...] = ()
    """Declared extended resources: `nvidia.com/gpu=1`, with labels as in `nvidia.com/gpu=1,product=X,memory=80Gi`."""
    labels: dict[str, str] = field(default_factory=dict)
    """Further labels of the node."""
    mounts_variable: str = "POD_MOUNTS"
    """Variable with a JSON map of mount path to real directory: a process cannot mount."""
    hosts_variable: str = "POD_HOSTS"
    """Variable with a JSON map of host name, or pattern of such, to address: there is no pod network and no name
    service."""
    termination_log_variable: str = "POD_TERMINATION_LOG"
    """Variable with the file that stands for the container's terminationMessagePath."""
    nice: int = 5
    back_off_seconds: float = 10.0
    """First pause before a container is started again; doubles up to five minutes."""
    retry_seconds: float = 0.5
    """First pause before volumes and configuration are looked for again; doubles up to ten seconds."""
    heartbeat_seconds: float = 10.0
    shutdown_seconds: float = 10.0
    """Time that running pods have when the kubelet ends, if their own grace period is not shorter."""
    memory_check_seconds: float = 0.5
