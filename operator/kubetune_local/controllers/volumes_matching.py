"""Which volume suits a claim, and why another does not."""

from __future__ import annotations

from collections.abc import Iterable

from kubetune_local.apiserver.schema.quantity import parse_quantity
from kubetune_local.client import JSON

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
LOCAL_PROVISIONER = "local-cluster/directory"
STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"


def annotations_of(obj: JSON) -> dict[str, str]:
    """Return the annotations of an object."""
    found: dict[str, str] = obj["metadata"].get("annotations") or {}
    return found


def requested(claim: JSON) -> str:
    """Return the size that a claim asks for."""
    return str(claim["spec"]["resources"]["requests"]["storage"])


def refers_to(volume: JSON, claim: JSON) -> bool:
    """Return whether a volume is reserved for, or bound to, exactly this claim."""
    reference, meta = volume["spec"].get("claimRef") or {}, claim["metadata"]
    named = (reference.get("namespace"), reference.get("name")) == (meta["namespace"], meta["name"])
    return named and reference.get("uid", "") in ("", meta["uid"])


def mismatch(volume: JSON, claim: JSON) -> str:
    """Return why a volume does not suit a claim, in the words of Kubernetes; empty when it does."""
    spec, wanted = volume["spec"], claim["spec"]
    if "deletionTimestamp" in volume["metadata"]:
        return "requested PV is being deleted"
    if parse_quantity(spec["capacity"]["storage"]) < parse_quantity(requested(claim)):
        return "requested PV is too small"
    if spec.get("storageClassName", "") != (wanted.get("storageClassName") or ""):
        return "storageClassName does not match"
    if spec.get("volumeMode", "Filesystem") != wanted.get("volumeMode", "Filesystem"):
        return "incompatible volumeMode"
    if not set(wanted["accessModes"]) <= set(spec["accessModes"]):
        return "incompatible accessMode"
    return ""


def best_volume(volumes: Iterable[JSON], claim: JSON) -> JSON | None:
    """Return the volume reserved for a claim, else the smallest free one that suits it."""
    free: list[JSON] = []
    for volume in volumes:
        if refers_to(volume, claim) and not mismatch(volume, claim):
            return volume
        taken = volume["spec"].get("claimRef") or (volume.get("status") or {}).get("phase") != "Available"
        if not taken and not mismatch(volume, claim) and _selected(volume, claim):
            free.append(volume)
    return min(
        free,
        key=lambda each: (parse_quantity(each["spec"]["capacity"]["storage"]), each["metadata"]["name"]),
        default=None,
    )


def _selected(volume: JSON, claim: JSON) -> bool:
    selector, labels = claim["spec"].get("selector") or {}, volume["metadata"].get("labels") or {}
    if any(labels.get(name) != value for name, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(rule, labels) for rule in selector.get("matchExpressions") or ())


def _holds(rule: JSON, labels: dict[str, str]) -> bool:
    present, value = rule["key"] in labels, labels.get(rule["key"])
    match rule["operator"]:
        case "In":
            return value in rule["values"]
        case "NotIn":
            return value not in rule["values"]
        case "Exists":
            return present
        case _:
            return not present


def default_class(classes: Iterable[JSON]) -> JSON | None:
    """Return the class of claims that name none: of several defaults the newest."""
    marked = [each for each in classes if annotations_of(each).get(DEFAULT_CLASS) == "true"]
    marked.sort(key=lambda each: each["metadata"]["name"])
    return max(marked, key=lambda each: str(each["metadata"].get("creationTimestamp", "")), default=None)
