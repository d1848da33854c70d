"""Defaults and validation of pod specs, which pods and every workload template share."""

from typing import Any

from kubetune_local.apiserver.errors import (
    NO_VALUE,
    FieldError,
    duplicate_value,
    invalid_value,
    not_found_value,
    required,
    unsupported,
)
from kubetune_local.apiserver.kinds.strategy import put_default
from kubetune_local.apiserver.names import label_problems, qualified_name_problems
from kubetune_local.apiserver.schema.quantity import parse_quantity

Obj = dict[str, Any]
_MODES = {"secret": "defaultMode", "configMap": "defaultMode", "downwardAPI": "defaultMode", "projected": "defaultMode"}
_NATIVE = {"cpu", "memory", "ephemeral-storage", "storage"}
_POLICIES = ["Always", "OnFailure", "Never"]
_PULL_POLICIES = ["Always", "IfNotPresent", "Never"]


def default_pod_spec(spec: Obj) -> None:
    """Set the defaults of a pod spec (`k8s.io/kubernetes/pkg/apis/core/v1/defaults.go`)."""
    put_default(spec, restartPolicy="Always", dnsPolicy="ClusterFirst", schedulerName="default-scheduler")
    put_default(spec, securityContext={}, terminationGracePeriodSeconds=30)
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    elif spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    for container in (*spec.get("initContainers", ()), *spec.get("containers", ())):
        _default_container(container)
        if spec.get("hostNetwork"):
            for port in container.get("ports", ()):
                port.setdefault("hostPort", port.get("containerPort"))
    for volume in spec.get("volumes", ()):
        _default_volume(volume)


def _default_container(container: Obj) -> None:
    image = container.get("image", "")
    tag = image.rpartition("/")[2].partition(":")[2]
    floating = "@" not in image and tag in ("", "latest")
    put_default(container, resources={}, terminationMessagePath="/dev/termination-log")
    put_default(container, terminationMessagePolicy="File", imagePullPolicy="Always" if floating else "IfNotPresent")
    resources = container["resources"]
    if resources.get("limits"):
        requests = resources.setdefault("requests", {})
        put_default(requests, **resources["limits"])
    for port in container.get("ports", ()):
        port.setdefault("protocol", "TCP")
    for variable in container.get("env", ()):
        reference = variable.get("valueFrom", {}).get("fieldRef")
        if reference is not None:
            reference.setdefault("apiVersion", "v1")
        if variable.get("value") == "":
            del variable["value"]
    probes = [container.get(name) for name in ("livenessProbe", "readinessProbe", "startupProbe")]
    for probe in filter(None, probes):
        put_default(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
        if "httpGet" in probe:
            put_default(probe["httpGet"], path="/", scheme="HTTP")


def _default_volume(volume: Obj) -> None:
    if len(volume) == 1:
        volume["emptyDir"] = {}
    for source, mode in _MODES.items():
        if source in volume:
            volume[source].setdefault(mode, 0o644)
    for source in volume.get("projected", {}).get("sources", ()):
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
        for item in source.get("downwardAPI", {}).get("items", ()):
            _default_field_reference(item)
    for item in volume.get("downwardAPI", {}).get("items", ()):
        _default_field_reference(item)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")


def _default_field_reference(item: Obj) -> None:
    if "fieldRef" in item:
        item["fieldRef"].setdefault("apiVersion", "v1")


def pod_spec_errors(spec: Obj, path: str) -> list[FieldError]:
    """Return what is wrong with a pod spec: the checks that people run into."""
    errors: list[FieldError] = []
    volumes = spec.get("volumes", [])
    names: set[str] = set()
    for index, volume in enumerate(volumes):
        errors += _volume_errors(volume, f"{path}.volumes[{index}]", names)
    if not spec.get("containers"):
        errors.append(required(f"{path}.containers"))
    seen: set[str] = set()
    for group in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(group, ())):
            errors += _container_errors(container, f"{path}.{group}[{index}]", names, seen)
    if spec.get("restartPolicy") not in _POLICIES:
        errors.append(unsupported(f"{path}.restartPolicy", spec.get("restartPolicy"), _POLICIES))
    if spec.get("terminationGracePeriodSeconds", 0) < 0:
        value = spec["terminationGracePeriodSeconds"]
        errors.append(
            invalid_value(f"{path}.terminationGracePeriodSeconds", value, "must be greater than or equal to 0")
        )
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and deadline < 1:
        detail = "must be between 1 and 2147483647, inclusive"
        errors.append(invalid_value(f"{path}.activeDeadlineSeconds", deadline, detail))
    return errors


def _name_errors(name: str, path: str, seen: set[str]) -> list[FieldError]:
    if not name:
        return [required(path)]
    if name in seen:
        return [duplicate_value(path, name)]
    seen.add(name)
    return [invalid_value(path, name, problem) for problem in label_problems(name)]


def _volume_errors(volume: Obj, path: str, names: set[str]) -> list[FieldError]:
    errors = _name_errors(volume.get("name", ""), f"{path}.name", names)
    sources = [key for key in volume if key != "name"]
    if len(sources) > 1:
        second = sources[1]
        errors.append(
            FieldError("FieldValueForbidden", f"{path}.{second}", NO_VALUE, "may not specify more than 1 volume type")
        )
    claim = volume.get("persistentVolumeClaim")
    if claim is not None and not claim.get("claimName"):
        errors.append(required(f"{path}.persistentVolumeClaim.claimName"))
    if "configMap" in volume and not volume["configMap"].get("name"):
        errors.append(required(f"{path}.configMap.name"))
    return errors


def _container_errors(container: Obj, path: str, volumes: set[str], seen: set[str]) -> list[FieldError]:
    errors = _name_errors(container.get("name", ""), f"{path}.name", seen)
    if not container.get("image"):
        errors.append(required(f"{path}.image"))
    for index, port in enumerate(container.get("ports", ())):
        number = port.get("containerPort", 0)
        if not 0 < number < 65536:
            here = f"{path}.ports[{index}].containerPort"
            detail = "must be between 1 and 65535, inclusive"
            errors.append(required(here) if not number else invalid_value(here, number, detail))
    for index, variable in enumerate(container.get("env", ())):
        here = f"{path}.env[{index}]"
        if not variable.get("name"):
            errors.append(required(f"{here}.name"))
        if variable.get("value") and variable.get("valueFrom"):
            errors.append(invalid_value(f"{here}.valueFrom", "", "may not be specified when `value` is not empty"))
    mounted: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts", ())):
        here = f"{path}.volumeMounts[{index}]"
        errors += _mount_errors(mount, here, volumes, mounted)
    if container.get("imagePullPolicy") not in _PULL_POLICIES:
        errors.append(unsupported(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _PULL_POLICIES))
    return errors + _resource_errors(container.get("resources", {}), f"{path}.resources")


def _mount_errors(mount: Obj, path: str, volumes: set[str], mounted: set[str]) -> list[FieldError]:
    name, target = mount.get("name", ""), mount.get("mountPath", "")
    errors = []
    if not name:
        errors.append(required(f"{path}.name"))
    elif name not in volumes:
        errors.append(not_found_value(f"{path}.name", name))
    if not target:
        errors.append(required(f"{path}.mountPath"))
    elif target in mounted:
        errors.append(invalid_value(f"{path}.mountPath", target, "must be unique"))
    mounted.add(target)
    return errors


def _resource_errors(resources: Obj, path: str) -> list[FieldError]:
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    errors = []
    for part, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            here = f"{path}.{part}[{name}]" if "." in name or "/" in name else f"{path}.{part}.{name}"
            errors += [invalid_value(f"{path}.{part}", name, problem) for problem in qualified_name_problems(name)]
            value = parse_quantity(amount)
            if value < 0:
                errors.append(invalid_value(here, amount, "must be greater than or equal to 0"))
            if "/" in name and value != int(value):
                errors.append(invalid_value(here, amount, "must be an integer"))
    for name, amount in requests.items():
        extended = "/" in name
        limit = limits.get(name)
        if limit is None:
            if extended:
                errors.append(required(f"{path}.limits", "Limit must be set for non overcommitable resources"))
        elif extended and parse_quantity(limit) != parse_quantity(amount):
            errors.append(invalid_value(f"{path}.requests", amount, f"must be equal to {name} limit of {limit}"))
        elif parse_quantity(amount) > parse_quantity(limit):
            detail = f"must be less than or equal to {name} limit of {limit}"
            errors.append(invalid_value(f"{path}.requests", amount, detail))
    return errors
