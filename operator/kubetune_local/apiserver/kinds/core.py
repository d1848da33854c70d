"""Namespaces, nodes, configuration, services and the other small kinds of the core group."""

import base64
import ipaddress
import random
from typing import Any

from kubetune_local.apiserver.cluster import Cluster, Request
from kubetune_local.apiserver.errors import (
    FieldError,
    StatusError,
    duplicate_value,
    forbidden,
    forbidden_value,
    invalid_value,
    required,
)
from kubetune_local.apiserver.kinds.strategy import IMMUTABLE, Strategy, at, put_default
from kubetune_local.apiserver.names import config_key_problems, label_problems, service_problems

Obj = dict[str, Any]
_RESERVED = ("default", "kube-system", "kube-public")
_MAX_DATA = 1024 * 1024
_SERVICE_NETWORK = ipaddress.IPv4Network("10.96.0.0/16")


class NamespaceStrategy(Strategy):
    """`v1` Namespace: lives until its finalizers are gone, its content being deleted by a controller."""

    name_problems = staticmethod(label_problems)
    selectable = ("status.phase", "name")
    returns_deleted = True

    def default(self, obj: Obj) -> None:
        """Label with its own name."""
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")

    def prepare_create(self, cluster: Cluster, request: Request, obj: Obj) -> None:
        """Start as Active, under the finalizer `kubernetes`."""
        obj["status"] = {"phase": "Active"}
        finalizers = obj.setdefault("spec", {}).setdefault("finalizers", [])
        if "kubernetes" not in finalizers:
            finalizers.append("kubernetes")

    def prepare_update(self, cluster: Cluster, request: Request, obj: Obj, old: Obj) -> None:
        """Only `/finalize` touches the finalizers of the spec."""
        if request.subresource != "finalize":
            obj["spec"] = old.get("spec", {})

    def before_delete(self, cluster: Cluster, obj: Obj) -> None:
        """Keep the namespaces the system lives in."""
        if (name := obj["metadata"]["name"]) in _RESERVED:
            raise forbidden("namespaces", "", name, "this namespace may not be deleted")

    def on_terminating(self, cluster: Cluster, obj: Obj) -> None:
        """Show it in the phase."""
        obj.setdefault("status", {})["phase"] = "Terminating"


def namespace_terminating(resource: str, group: str, name: str, namespace: str) -> StatusError:
    """403: no new content in a namespace that is going away."""
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    message = f"namespace {namespace} is being terminated"
    cause = {"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}
    return forbidden(resource, group, name, why, [cause])


class NodeStrategy(Strategy):
    """`v1` Node."""

    selectable = ("spec.unschedulable",)

    def default(self, obj: Obj) -> None:
        """Allocatable follows capacity where it is not told."""
        status = obj.get("status", {})
        if status.get("capacity") and not status.get("allocatable"):
            status["allocatable"] = dict(status["capacity"])
        obj.setdefault("spec", {})

    def field(self, obj: Obj, path: str) -> str:
        """Absent `unschedulable` selects as false."""
        return super().field(obj, path) or ("false" if path == "spec.unschedulable" else "")


class DataStrategy(Strategy):
    """ConfigMap and Secret: keys, sizes, `immutable`."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.selectable = ("type",) if kind == "Secret" else ()

    def default(self, obj: Obj) -> None:
        """Fold `stringData` into `data`; a Secret is Opaque unless told."""
        if self.kind != "Secret":
            return
        obj.setdefault("type", "Opaque")
        strings = obj.pop("stringData", {})
        for key, text in strings.items():
            obj.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()

    def validate(self, cluster: Cluster, obj: Obj) -> list[FieldError]:
        """Check keys and the total size."""
        errors, total = [], 0
        for part in ("data", "binaryData"):
            for key, value in obj.get(part, {}).items():
                errors += [invalid_value(f"{part}[{key}]", key, problem) for problem in config_key_problems(key)]
                total += len(value.encode()) if self.kind == "ConfigMap" and part == "data" else len(value) * 3 // 4
        if total > _MAX_DATA:
            where = "data" if self.kind == "Secret" else ""
            errors.append(FieldError("FieldValueTooLong", where, detail="may not be more than 1048576 bytes"))
        return errors

    def validate_update(self, cluster: Cluster, obj: Obj, old: Obj) -> list[FieldError]:
        """An immutable object keeps its data, and stays immutable."""
        errors = []
        if self.kind == "Secret" and obj.get("type") != old.get("type"):
            errors.append(invalid_value("type", obj.get("type"), IMMUTABLE))
        if old.get("immutable"):
            if not obj.get("immutable"):
                errors.append(forbidden_value("immutable", "field is immutable when `immutable` is set"))
            for part in ("data", "binaryData"):
                if obj.get(part, {}) != old.get(part, {}):
                    errors.append(forbidden_value(part, "field is immutable when `immutable` is set"))
        return errors


class ServiceStrategy(Strategy):
    """`v1` Service: has an address, though nothing routes to it here."""

    name_problems = staticmethod(service_problems)
    selectable = ("spec.clusterIP", "spec.type")

    def default(self, obj: Obj) -> None:
        """Set the defaults that clients see."""
        spec = obj.setdefault("spec", {})
        put_default(spec, type="ClusterIP", sessionAffinity="None")
        for port in spec.get("ports", ()):
            put_default(port, protocol="TCP", targetPort=port.get("port"))
        if spec["type"] != "ExternalName":
            put_default(spec, ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack", internalTrafficPolicy="Cluster")

    def prepare_create(self, cluster: Cluster, request: Request, obj: Obj) -> None:
        """Give an address of the service network."""
        spec = obj["spec"]
        obj["status"] = {"loadBalancer": {}}
        if spec["type"] != "ExternalName" and not spec.get("clusterIP"):
            spec["clusterIP"] = _free_address(cluster)
        if spec.get("clusterIP"):
            spec["clusterIPs"] = [spec["clusterIP"]]

    def prepare_update(self, cluster: Cluster, request: Request, obj: Obj, old: Obj) -> None:
        """An update that leaves the address out keeps it."""
        if old["spec"].get("clusterIP"):
            put_default(obj["spec"], clusterIP=old["spec"]["clusterIP"], clusterIPs=old["spec"].get("clusterIPs", []))

    def validate(self, cluster: Cluster, obj: Obj) -> list[FieldError]:
        """Check the ports."""
        spec = obj["spec"]
        ports = spec.get("ports", [])
        errors = []
        if not ports and spec.get("clusterIP") != "None" and spec["type"] != "ExternalName":
            errors.append(required("spec.ports"))
        seen = set()
        for index, port in enumerate(ports):
            here = f"spec.ports[{index}]"
            if len(ports) > 1 and not port.get("name"):
                errors.append(required(f"{here}.name"))
            if not 0 < port.get("port", 0) < 65536:
                errors.append(
                    invalid_value(f"{here}.port", port.get("port", 0), "must be between 1 and 65535, inclusive")
                )
            if port.get("name") and port["name"] in seen:
                errors.append(duplicate_value(f"{here}.name", port["name"]))
            seen.add(port.get("name"))
        return errors

    def validate_update(self, cluster: Cluster, obj: Obj, old: Obj) -> list[FieldError]:
        """The address never changes."""
        value = at(obj, "spec.clusterIP")
        if value == at(old, "spec.clusterIP") or obj["spec"]["type"] == "ExternalName":
            return []
        return [invalid_value("spec.clusterIP", value, IMMUTABLE)]


def _free_address(cluster: Cluster) -> str:
    taken = {item.obj["spec"].get("clusterIP") for item in cluster.store.list(("", "services"))}
    generator = random.Random(len(taken))
    while True:
        address = str(_SERVICE_NETWORK[generator.randrange(20, _SERVICE_NETWORK.num_addresses - 1)])
        if address not in taken:
            return address


class EventStrategy(Strategy):
    """`v1` Event."""

    selectable = (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath",
        "reason", "reportingComponent", "source", "type",
    )  # fmt: skip

    def default(self, obj: Obj) -> None:
        """The Go structs that are always written."""
        put_default(obj, source={}, reportingComponent="", reportingInstance="", involvedObject={})
        for name in ("firstTimestamp", "lastTimestamp", "eventTime"):
            obj.setdefault(name, None)

    def validate(self, cluster: Cluster, obj: Obj) -> list[FieldError]:
        """An event lies in the namespace of what it is about."""
        namespace = obj["metadata"].get("namespace", "")
        about = obj["involvedObject"].get("namespace", "")
        if about in ("", namespace) and (about or namespace in ("default", "kube-system")):
            return []
        return [invalid_value("involvedObject.namespace", about, "does not match event.namespace")]

    def field(self, obj: Obj, path: str) -> str:
        """`source` selects by its component, or else the reporting controller."""
        if path == "source":
            return str(obj.get("source", {}).get("component") or obj.get("reportingComponent", ""))
        return super().field(obj, path)


class LimitedStrategy(Strategy):
    """A kind that is stored and, truthfully, has no effect here."""

    def __init__(self, warning: str, generation: bool = False) -> None:
        self.warning = warning
        self.generation = generation
