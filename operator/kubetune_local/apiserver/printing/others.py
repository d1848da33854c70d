"""Rows of the kinds that a small cluster only keeps: storage, network, rights, admission, scheduling."""

from datetime import datetime
from typing import Any

from kubetune_local import timestamps
from kubetune_local.apiserver.printing.ages import UNKNOWN, moment, since
from kubetune_local.apiserver.printing.labels import NONE, selector

Obj = dict[str, Any]
_UNSET = "<unset>"
_DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


def _name_and_age(obj: Obj, now: datetime) -> tuple[str, str]:
    return obj["metadata"]["name"], since(obj["metadata"].get("creationTimestamp"), now)


def only_age(obj: Obj, now: datetime) -> list[Any]:
    """Name, age."""
    return list(_name_and_age(obj, now))


def created_at(obj: Obj, now: datetime) -> list[Any]:
    """Name, time of creation."""
    then = moment(obj["metadata"].get("creationTimestamp"))
    return [obj["metadata"]["name"], timestamps.rfc3339(then) if then else UNKNOWN]


def lease(obj: Obj, now: datetime) -> list[Any]:
    """Name, holder, age."""
    name, age = _name_and_age(obj, now)
    return [name, obj.get("spec", {}).get("holderIdentity") or "", age]


def storage_class(obj: Obj, now: datetime) -> list[Any]:
    """Name, provisioner, reclaim policy, binding mode, expansion, age."""
    name, age = _name_and_age(obj, now)
    annotations = obj["metadata"].get("annotations") or {}
    if any(annotations.get(key) == "true" for key in _DEFAULT_CLASS):
        name += " (default)"
    policy, mode = obj.get("reclaimPolicy") or "Delete", obj.get("volumeBindingMode") or "Immediate"
    return [name, obj.get("provisioner", ""), policy, mode, bool(obj.get("allowVolumeExpansion")), age]


def csi_driver(obj: Obj, now: datetime) -> list[Any]:
    """Name, its settings, age."""
    name, age = _name_and_age(obj, now)
    spec = obj.get("spec", {})
    tokens = ",".join(item.get("audience", "") for item in spec.get("tokenRequests") or ()) or _UNSET
    modes = ",".join(spec.get("volumeLifecycleModes") or ()) or NONE
    flags = [spec.get("attachRequired", True), spec.get("podInfoOnMount", False), spec.get("storageCapacity", False)]
    return [name, *flags, tokens, spec.get("requiresRepublish", False), modes, age]


def csi_node(obj: Obj, now: datetime) -> list[Any]:
    """Name, number of drivers, age."""
    name, age = _name_and_age(obj, now)
    return [name, len(obj.get("spec", {}).get("drivers") or ()), age]


def ingress_class(obj: Obj, now: datetime) -> list[Any]:
    """Name, controller, parameters, age."""
    name, age = _name_and_age(obj, now)
    spec = obj.get("spec", {})
    found = spec.get("parameters")
    group = f".{found['apiGroup']}" if found and found.get("apiGroup") else ""
    return [name, spec.get("controller", ""), f"{found['kind']}{group}/{found['name']}" if found else NONE, age]


def ingress(obj: Obj, now: datetime) -> list[Any]:
    """Name, class, hosts, address, ports, age."""
    name, age = _name_and_age(obj, now)
    spec = obj.get("spec", {})
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    shown = (",".join(hosts[:3]) + (f" + {len(hosts) - 3} more..." if len(hosts) > 3 else "")) or "*"
    entries = obj.get("status", {}).get("loadBalancer", {}).get("ingress") or ()
    address = ",".join(sorted({entry.get("ip") or entry.get("hostname", "") for entry in entries}))
    return [name, spec.get("ingressClassName") or NONE, shown, address, "80, 443" if spec.get("tls") else "80", age]


def network_policy(obj: Obj, now: datetime) -> list[Any]:
    """Name, pod selector, age."""
    name, age = _name_and_age(obj, now)
    return [name, selector(obj.get("spec", {}).get("podSelector") or {}), age]


def endpoint_slice(obj: Obj, now: datetime) -> list[Any]:
    """Name, address type, the first ports, the first addresses, age."""
    name, age = _name_and_age(obj, now)
    ports = [str(port.get("port") or port.get("name") or "*") for port in obj.get("ports") or ()]
    found = [address for item in obj.get("endpoints") or () for address in item.get("addresses") or ()]
    return [name, obj.get("addressType", ""), _first_three(ports), _first_three(found), age]


def _first_three(items: list[str]) -> str:
    if not items:
        return _UNSET
    return ",".join(items[:3]) + (f" + {len(items) - 3} more..." if len(items) > 3 else "")


def disruption_budget(obj: Obj, now: datetime) -> list[Any]:
    """Name, minimum available, maximum unavailable, allowed disruptions, age."""
    name, age = _name_and_age(obj, now)
    spec = obj.get("spec", {})
    limits = [str(spec[key]) if key in spec else "N/A" for key in ("minAvailable", "maxUnavailable")]
    return [name, *limits, obj.get("status", {}).get("disruptionsAllowed", 0), age]


def role_binding(obj: Obj, now: datetime) -> list[Any]:
    """Name, role, age; users, groups, service accounts."""
    name, age = _name_and_age(obj, now)
    role = obj.get("roleRef", {})
    subjects: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects") or ():
        full = subject["name"] if subject["kind"] != "ServiceAccount" else f"{subject['namespace']}/{subject['name']}"
        subjects.setdefault(subject["kind"], []).append(full)
    groups = [", ".join(subjects[kind]) for kind in ("User", "Group", "ServiceAccount")]
    return [name, f"{role.get('kind', '')}/{role.get('name', '')}", age, *groups]


def webhooks(obj: Obj, now: datetime) -> list[Any]:
    """Name, number of webhooks, age."""
    name, age = _name_and_age(obj, now)
    return [name, len(obj.get("webhooks") or ()), age]


def admission_policy(obj: Obj, now: datetime) -> list[Any]:
    """Name, number of validations, kind of the parameters, age."""
    name, age = _name_and_age(obj, now)
    spec = obj.get("spec", {})
    kind = spec.get("paramKind")
    return [name, len(spec.get("validations") or ()), f"{kind['apiVersion']}/{kind['kind']}" if kind else _UNSET, age]


def admission_binding(obj: Obj, now: datetime) -> list[Any]:
    """Name, policy, parameters, age."""
    name, age = _name_and_age(obj, now)
    spec = obj.get("spec", {})
    reference = spec.get("paramRef")
    shown = _UNSET
    if reference:
        named = reference.get("name") or selector(reference.get("selector") or {}, "*")
        shown = f"{reference['namespace']}/{named}" if reference.get("namespace") else named
    return [name, spec.get("policyName", ""), shown, age]


def priority_class(obj: Obj, now: datetime) -> list[Any]:
    """Name, value, whether it is the default, age, preemption policy."""
    name, age = _name_and_age(obj, now)
    policy = obj.get("preemptionPolicy") or ""
    return [name, obj.get("value", 0), bool(obj.get("globalDefault")), age, policy]


def runtime_class(obj: Obj, now: datetime) -> list[Any]:
    """Name, handler, age."""
    name, age = _name_and_age(obj, now)
    return [name, obj.get("handler", ""), age]
