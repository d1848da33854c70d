"""The claims of a pod: which of them are bound, which wait for a node, and which stand in the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

JSON = dict[str, Any]

SELECTED_NODE = "volume.kubernetes.io/selected-node"
UNBOUND = "pod has unbound immediate PersistentVolumeClaims"


@dataclass
class Claims:
    """What the volumes of a pod mean for its placement."""

    problem: str = ""
    """Why the pod cannot be placed anywhere."""
    volumes: list[JSON] = field(default_factory=list)
    """PersistentVolumes of bound claims."""
    waiting: list[JSON] = field(default_factory=list)
    """Claims that are bound when the pod has a node."""


@dataclass(frozen=True)
class Storage:
    """How claims, volumes and classes are looked up; None when there is none."""

    claim: Callable[[str, str], JSON | None]
    volume: Callable[[str], JSON | None]
    storage_class: Callable[[str], JSON | None]


def claims_of(pod: JSON, storage: Storage) -> Claims:
    """Return what the claims of a pod mean for its placement."""
    found, namespace = Claims(), pod["metadata"]["namespace"]
    for name in claim_names(pod):
        claim = storage.claim(namespace, name)
        if claim is None:
            return Claims(problem=f'persistentvolumeclaim "{name}" not found')
        if "deletionTimestamp" in claim["metadata"]:
            return Claims(problem=f'persistentvolumeclaim "{name}" is being deleted')
        if claim.get("status", {}).get("phase") == "Lost":
            lost = claim["spec"].get("volumeName", "")
            return Claims(problem=f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{lost}"')
        if claim.get("status", {}).get("phase") == "Bound":
            volume = storage.volume(claim["spec"].get("volumeName", ""))
            found.volumes += [volume] if volume else []
        elif _waits(claim, storage):
            found.waiting.append(claim)
        else:
            return Claims(problem=UNBOUND)
    return found


def claim_names(pod: JSON) -> list[str]:
    """Return the names of the claims that a pod mounts."""
    names = []
    for volume in pod["spec"].get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            names.append(volume["persistentVolumeClaim"]["claimName"])
        elif "ephemeral" in volume:
            names.append(f"{pod['metadata']['name']}-{volume['name']}")
    return names


def _waits(claim: JSON, storage: Storage) -> bool:
    if claim["spec"].get("volumeName"):
        return False
    class_ = storage.storage_class(claim["spec"].get("storageClassName") or "")
    return class_ is not None and class_.get("volumeBindingMode") == "WaitForFirstConsumer"
