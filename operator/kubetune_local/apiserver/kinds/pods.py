"""Pods: defaults, quality of service, immutability, graceful deletion."""

import json
from decimal import Decimal
from typing import Any

from kubetune_local.apiserver.cluster import Cluster, Request
from kubetune_local.apiserver.errors import FieldError, forbidden, forbidden_value
from kubetune_local.apiserver.kinds.podspec import default_pod_spec, pod_spec_errors
from kubetune_local.apiserver.kinds.strategy import Strategy
from kubetune_local.apiserver.schema.quantity import parse_quantity

Obj = dict[str, Any]
_PRIORITY_CLASSES = ("scheduling.k8s.io", "priorityclasses")
_SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
_UPDATABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
DEFAULT_GRACE = 30


class PodStrategy(Strategy):
    """`v1` Pod."""

    selectable = (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
        "status.phase", "status.podIP", "status.nominatedNodeName",
    )  # fmt: skip
    generation = True
    returns_deleted = True

    def default(self, obj: Obj) -> None:
        """Set the defaults of the spec."""
        spec = obj.setdefault("spec", {})
        default_pod_spec(spec)
        spec.setdefault("enableServiceLinks", True)
        for condition in obj.get("status", {}).get("conditions", ()):
            condition.setdefault("lastProbeTime", None)

    def prepare_create(self, cluster: Cluster, request: Request, obj: Obj) -> None:
        """Start as Pending; resolve priority, service account and the usual tolerations, as admission does."""
        spec = obj["spec"]
        obj["status"] = {"phase": "Pending", "qosClass": quality_of_service(spec)}
        if not spec.get("serviceAccountName"):
            spec["serviceAccountName"] = spec["serviceAccount"] = "default"
        _resolve_priority(cluster, obj)
        _add_tolerations(spec)
        if spec.get("schedulingGates"):
            message = "Scheduling is blocked due to non-empty scheduling gates"
            condition = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": message}
            obj["status"]["conditions"] = [{**condition, "lastProbeTime": None, "lastTransitionTime": cluster.now()}]

    def prepare_update(self, cluster: Cluster, request: Request, obj: Obj, old: Obj) -> None:
        """Keep the quality of service, which is worked out once."""
        status = obj.get("status")
        if status is not None and "qosClass" in old.get("status", {}):
            status.setdefault("qosClass", old["status"]["qosClass"])

    def validate(self, cluster: Cluster, obj: Obj) -> list[FieldError]:
        """Check the spec."""
        return pod_spec_errors(obj["spec"], "spec")

    def validate_update(self, cluster: Cluster, obj: Obj, old: Obj) -> list[FieldError]:
        """Refuse changes of the spec but for images, deadline, added tolerations and removed gates."""
        new_spec, old_spec = json.loads(json.dumps(obj["spec"])), json.loads(json.dumps(old["spec"]))
        for group in ("containers", "initContainers"):
            for new, previous in zip(new_spec.get(group, ()), old_spec.get(group, ()), strict=False):
                new["image"] = previous.get("image")
        for name in ("activeDeadlineSeconds", "schedulingGates"):
            new_spec.pop(name, None)
            old_spec.pop(name, None)
        if new_spec.get("terminationGracePeriodSeconds") == 1 and old_spec.get("terminationGracePeriodSeconds", 0) < 0:
            new_spec["terminationGracePeriodSeconds"] = old_spec["terminationGracePeriodSeconds"]
        tolerations = new_spec.get("tolerations", [])
        if all(item in tolerations for item in old_spec.get("tolerations", [])):
            new_spec["tolerations"] = old_spec.get("tolerations", [])
            old_spec.setdefault("tolerations", [])
        return [] if new_spec == old_spec else [forbidden_value("spec", _UPDATABLE)]

    def grace_seconds(self, obj: Obj, asked: int | None) -> int:
        """Wait for the kubelet, unless no kubelet has the pod or it has ended."""
        period = obj.get("spec", {}).get("terminationGracePeriodSeconds", DEFAULT_GRACE) if asked is None else asked
        ended = obj.get("status", {}).get("phase") in ("Succeeded", "Failed")
        return 0 if ended or not obj.get("spec", {}).get("nodeName") else max(0, int(period))

    def field(self, obj: Obj, path: str) -> str:
        """Absent hostNetwork selects as false."""
        return super().field(obj, path) or ("false" if path == "spec.hostNetwork" else "")


def _resolve_priority(cluster: Cluster, obj: Obj) -> None:
    spec = obj["spec"]
    name = spec.get("priorityClassName", "")
    classes = cluster.store.list(_PRIORITY_CLASSES)
    if not name:
        chosen = next((item.obj for item in classes if item.obj.get("globalDefault")), None)
        if chosen is not None:
            spec["priorityClassName"] = chosen["metadata"]["name"]
    elif name in _SYSTEM_PRIORITIES:
        chosen = {"value": _SYSTEM_PRIORITIES[name]}
    else:
        chosen = next((item.obj for item in classes if item.name == name), None)
        if chosen is None:
            pod = obj["metadata"].get("name", "")
            raise forbidden("pods", "", pod, f"no PriorityClass with name {name} was found")
    spec["priority"] = chosen.get("value", 0) if chosen else 0
    spec.setdefault("preemptionPolicy", (chosen or {}).get("preemptionPolicy", "PreemptLowerPriority"))


def _add_tolerations(spec: Obj) -> None:
    tolerations = spec.setdefault("tolerations", [])
    for key in _TAINTS:
        tolerated = any(
            item.get("key", key) == key and item.get("effect", "NoExecute") == "NoExecute" for item in tolerations
        )
        if not tolerated:
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})


def quality_of_service(spec: Obj) -> str:
    """Return Guaranteed, Burstable or BestEffort, from cpu and memory of all containers."""
    requests: dict[str, Decimal] = {}
    limits: dict[str, Decimal] = {}
    guaranteed = True
    for container in (*spec.get("initContainers", ()), *spec.get("containers", ())):
        resources = container.get("resources", {})
        for part, total in (("requests", requests), ("limits", limits)):
            amounts = {name: parse_quantity(resources.get(part, {}).get(name, "0")) for name in ("cpu", "memory")}
            for name, amount in amounts.items():
                total[name] = total.get(name, Decimal(0)) + amount
            guaranteed &= part == "requests" or all(amounts.values())
    if not any(requests.values()) and not any(limits.values()):
        return "BestEffort"
    return "Guaranteed" if guaranteed and requests == limits else "Burstable"
