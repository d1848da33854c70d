"""Claims, volumes and storage classes."""

from typing import Any

from kubetune_local.apiserver.cluster import Cluster, Request
from kubetune_local.apiserver.errors import FieldError, forbidden_value, required, unsupported
from kubetune_local.apiserver.kinds.strategy import Strategy, put_default

Obj = dict[str, Any]
_CLASSES = ("storage.k8s.io", "storageclasses")
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_MODES = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"]


class ClaimStrategy(Strategy):
    """`v1` PersistentVolumeClaim."""

    returns_deleted = True

    def default(self, obj: Obj) -> None:
        """Volumes are file systems unless told."""
        spec = obj.setdefault("spec", {})
        put_default(spec, volumeMode="Filesystem", resources={})

    def prepare_create(self, cluster: Cluster, request: Request, obj: Obj) -> None:
        """Start as Pending; the default storage class fills in, as admission does."""
        obj["status"] = {"phase": "Pending"}
        if "storageClassName" not in obj["spec"]:
            defaults = [
                item.name
                for item in cluster.store.list(_CLASSES)
                if item.obj["metadata"].get("annotations", {}).get(_DEFAULT_CLASS) == "true"
            ]
            if defaults:
                obj["spec"]["storageClassName"] = defaults[-1]

    def validate(self, cluster: Cluster, obj: Obj) -> list[FieldError]:
        """Check access modes and the request."""
        spec = obj["spec"]
        errors = []
        if not spec.get("accessModes"):
            errors.append(required("spec.accessModes", "at least 1 access mode is required"))
        errors += [
            unsupported("spec.accessModes", mode, _MODES) for mode in spec.get("accessModes", ()) if mode not in _MODES
        ]
        if "storage" not in spec["resources"].get("requests", {}):
            errors.append(required("spec.resources[storage]"))
        return errors

    def validate_update(self, cluster: Cluster, obj: Obj, old: Obj) -> list[FieldError]:
        """Only binding and growth are possible after creation."""
        new_spec, old_spec = dict(obj["spec"]), dict(old["spec"])
        new_spec.pop("resources", None)
        old_spec.pop("resources", None)
        if not old_spec.get("volumeName"):
            new_spec.pop("volumeName", None)
            old_spec.pop("volumeName", None)
        if "storageClassName" not in old_spec:
            new_spec.pop("storageClassName", None)
        if new_spec == old_spec:
            return []
        detail = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        return [forbidden_value("spec", detail)]


class VolumeStrategy(Strategy):
    """`v1` PersistentVolume."""

    returns_deleted = True

    def default(self, obj: Obj) -> None:
        """Keep the data unless told."""
        put_default(obj.setdefault("spec", {}), volumeMode="Filesystem", persistentVolumeReclaimPolicy="Retain")
        if "hostPath" in obj["spec"]:
            obj["spec"]["hostPath"].setdefault("type", "")

    def prepare_create(self, cluster: Cluster, request: Request, obj: Obj) -> None:
        """Start as Pending; the binder makes it Available."""
        obj["status"] = {"phase": "Pending"}

    def validate(self, cluster: Cluster, obj: Obj) -> list[FieldError]:
        """Check capacity and access modes."""
        spec = obj["spec"]
        errors = [] if spec.get("accessModes") else [required("spec.accessModes")]
        return errors if spec.get("capacity") else [*errors, required("spec.capacity")]


class StorageClassStrategy(Strategy):
    """`storage.k8s.io/v1` StorageClass."""

    def default(self, obj: Obj) -> None:
        """Set the defaults that clients see."""
        put_default(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")

    def validate(self, cluster: Cluster, obj: Obj) -> list[FieldError]:
        """There must be a provisioner."""
        return [] if obj.get("provisioner") else [required("provisioner")]

    def validate_update(self, cluster: Cluster, obj: Obj, old: Obj) -> list[FieldError]:
        """The parameters of provisioned volumes never change."""
        names = ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode")
        changed = [name for name in names if obj.get(name) != old.get(name)]
        return [forbidden_value(name, "updates to " + name + " are forbidden.") for name in changed]
