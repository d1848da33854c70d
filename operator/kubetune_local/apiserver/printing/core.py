"""Rows of the other kinds of the core group: events, nodes, namespaces, services, volumes and claims."""

from datetime import datetime
from typing import Any

from kubetune_local.apiserver.printing.ages import since
from kubetune_local.apiserver.printing.labels import NONE, labels

Obj = dict[str, Any]
_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_ROLE = "node-role.kubernetes.io/"
_UNSET = "<unset>"


def _name_and_age(obj: Obj, now: datetime) -> tuple[str, str]:
    return obj["metadata"]["name"], since(obj["metadata"].get("creationTimestamp"), now)


def event(obj: Obj, now: datetime) -> list[Any]:
    """Last seen, type, reason, object; sub-object, source, message, first seen, count, name. Both event APIs."""
    series = obj.get("series") or {}
    first_time = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime")
    last_time = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp") or first_time
    count = obj.get("count") or obj.get("deprecatedCount") or 1
    if series:
        last_time, count = series.get("lastObservedTime"), series.get("count", 0)
    target = obj.get("involvedObject") or obj.get("regarding") or {}
    kind = target.get("kind", "").lower()
    return [
        since(last_time, now),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{kind}/{target['name']}" if target.get("name") else kind,
        target.get("fieldPath", ""),
        _event_source(obj),
        (obj.get("message") or obj.get("note") or "").strip(),
        since(first_time, now),
        count,
        obj["metadata"]["name"],
    ]


def _event_source(obj: Obj) -> str:
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    return f"{component}, {host}" if host else component


def node(obj: Obj, now: datetime) -> list[Any]:
    """Name, status, roles, age, version; addresses, system, kernel, runtime."""
    name, age = _name_and_age(obj, now)
    status = obj.get("status", {})
    ready = [item["status"] for item in status.get("conditions") or () if item["type"] == "Ready"]
    words = [("Ready" if ready[0] == "True" else "NotReady") if ready else "Unknown"]
    if obj.get("spec", {}).get("unschedulable"):
        words.append("SchedulingDisabled")
    addresses = {item["type"]: item["address"] for item in reversed(status.get("addresses") or ())}
    info = status.get("nodeInfo") or {}
    details = [info.get(key) or "<unknown>" for key in ("osImage", "kernelVersion", "containerRuntimeVersion")]
    if info.get("architecture"):
        details[1] += f" ({info['architecture']})"
    found = [addresses.get(kind, NONE) for kind in ("InternalIP", "ExternalIP")]
    return [name, ",".join(words), _roles(obj), age, info.get("kubeletVersion", ""), *found, *details]


def _roles(obj: Obj) -> str:
    roles = set()
    for key, value in (obj["metadata"].get("labels") or {}).items():
        if key.startswith(_ROLE) and key != _ROLE:
            roles.add(key.removeprefix(_ROLE))
        elif key == "kubernetes.io/role" and value:
            roles.add(value)
    return ",".join(sorted(roles)) or NONE


def namespace(obj: Obj, now: datetime) -> list[Any]:
    """Name, status, age."""
    name, age = _name_and_age(obj, now)
    return [name, obj.get("status", {}).get("phase", ""), age]


def config_map(obj: Obj, now: datetime) -> list[Any]:
    """Name, number of keys, age."""
    name, age = _name_and_age(obj, now)
    return [name, len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), age]


def secret(obj: Obj, now: datetime) -> list[Any]:
    """Name, type, number of keys, age."""
    name, age = _name_and_age(obj, now)
    return [name, obj.get("type", ""), len(obj.get("data") or ()), age]


def service(obj: Obj, now: datetime) -> list[Any]:
    """Name, type, cluster IP, external IP, ports, age; selector."""
    name, age = _name_and_age(obj, now)
    spec = obj.get("spec", {})
    addresses = spec.get("clusterIPs") or [NONE]
    ports = ",".join(_service_port(port) for port in spec.get("ports") or ()) or NONE
    return [name, spec.get("type", ""), addresses[0], _external(obj), ports, age, labels(spec.get("selector"))]


def _service_port(port: Obj) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port['port']}{node_port}/{port.get('protocol', 'TCP')}"


def _external(obj: Obj) -> str:
    spec = obj.get("spec", {})
    external = spec.get("externalIPs") or []
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", ""))
    if spec.get("type") != "LoadBalancer":
        return ",".join(external) or NONE
    entries = obj.get("status", {}).get("loadBalancer", {}).get("ingress") or ()
    found = sorted({entry.get("ip") or entry.get("hostname", "") for entry in entries})
    return ",".join([*found, *external]) or "<pending>"


def endpoints(obj: Obj, now: datetime) -> list[Any]:
    """Name, the first three addresses with ports, age."""
    name, age = _name_and_age(obj, now)
    found: list[str] = []
    for subset in obj.get("subsets") or ():
        addresses = [item["ip"] for item in subset.get("addresses") or ()]
        ports = [port["port"] for port in subset.get("ports") or ()]
        found += [f"{ip}:{port}" for port in ports for ip in addresses] if ports else addresses
    more = f" + {len(found) - 3} more..." if len(found) > 3 else ""
    return [name, ",".join(found[:3]) + more if found else NONE, age]


def persistent_volume_claim(obj: Obj, now: datetime) -> list[Any]:
    """Name, status, volume, capacity, access modes, classes, age; volume mode."""
    name, age = _name_and_age(obj, now)
    spec, status = obj.get("spec", {}), obj.get("status", {})
    bound = bool(spec.get("volumeName"))
    return [
        name,
        _phase(obj),
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "0") if bound else "",
        _modes(status.get("accessModes")) if bound else "",
        _storage_class(obj),
        spec.get("volumeAttributesClassName") or _UNSET,
        age,
        spec.get("volumeMode") or _UNSET,
    ]


def persistent_volume(obj: Obj, now: datetime) -> list[Any]:
    """Name, capacity, access modes, reclaim policy, status, claim, classes, reason, age; volume mode."""
    name, age = _name_and_age(obj, now)
    spec = obj.get("spec", {})
    claim = spec.get("claimRef")
    return [
        name,
        (spec.get("capacity") or {}).get("storage", "0"),
        _modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        _phase(obj),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        _storage_class(obj),
        spec.get("volumeAttributesClassName") or _UNSET,
        obj.get("status", {}).get("reason", ""),
        age,
        spec.get("volumeMode") or _UNSET,
    ]


def _phase(obj: Obj) -> str:
    terminating = "deletionTimestamp" in obj["metadata"]
    return "Terminating" if terminating else str(obj.get("status", {}).get("phase", ""))


def _modes(modes: list[str] | None) -> str:
    return ",".join(short for mode, short in _MODES.items() if mode in (modes or ()))


def _storage_class(obj: Obj) -> str:
    annotation = (obj["metadata"].get("annotations") or {}).get("volume.beta.kubernetes.io/storage-class")
    return str(annotation or obj.get("spec", {}).get("storageClassName") or "")


def resource_quota(obj: Obj, now: datetime) -> list[Any]:
    """Name, requests, limits, age."""
    name, age = _name_and_age(obj, now)
    status = obj.get("status", {})
    used = status.get("used") or {}
    uses = {key: f"{key}: {used.get(key, '0')}/{hard}" for key, hard in sorted((status.get("hard") or {}).items())}
    requests = ", ".join(text for key, text in uses.items() if not key.startswith("limits."))
    return [name, requests, ", ".join(text for key, text in uses.items() if key.startswith("limits.")), age]
