"""What hangs below objects: bindings, evictions, scales."""

from typing import Any

from kubetune_local.apiserver.cluster import Cluster, Request
from kubetune_local.apiserver.errors import bad_request, conflict, invalid, required
from kubetune_local.apiserver.kinds.strategy import at
from kubetune_local.apiserver.patches.merge import merge_patch
from kubetune_local.apiserver.verbs.delete import delete, read_options
from kubetune_local.apiserver.verbs.update import find, store_change

Obj = dict[str, Any]
SUCCESS: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def bind(cluster: Cluster, request: Request, body: Any) -> Obj:
    """Assign a pod to a node: `pods/NAME/binding`, or `bindings` with the name in the body."""
    if not isinstance(body, dict):
        raise bad_request("expect a Binding as the body")
    node = (body.get("target") or {}).get("name", "")
    if not node:
        raise invalid("Binding", "", request.name, [required("target.name")])
    old = find(cluster, request)
    pod = old.copy()
    uid = (body.get("metadata") or {}).get("uid")
    if uid and uid != pod["metadata"]["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {pod['metadata']['uid']}"
        raise conflict("pods", "", request.name, why)
    if "deletionTimestamp" in pod["metadata"]:
        raise conflict(
            "pods/binding", "", request.name, f"pod {request.name} is being deleted, cannot be assigned to a host"
        )
    if (present := pod["spec"].get("nodeName")) is not None:
        why = f'pod {request.name} is already assigned to node "{present}"'
        raise conflict("pods/binding", "", request.name, why)
    if pod["spec"].get("schedulingGates"):
        raise conflict("pods/binding", "", request.name, f"pod {request.name} has non-empty .spec.schedulingGates")
    pod["spec"]["nodeName"] = node
    annotations = (body.get("metadata") or {}).get("annotations")
    if annotations:
        pod["metadata"].setdefault("annotations", {}).update(annotations)
    condition = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": cluster.now()}
    conditions = [item for item in pod["status"].get("conditions", []) if item["type"] != "PodScheduled"]
    pod["status"]["conditions"] = [*conditions, condition]
    if not request.dry_run:
        cluster.store.put(request.resource.collection, pod)
    return SUCCESS


def evict(cluster: Cluster, request: Request, body: Any) -> Obj:
    """Delete a pod gracefully; there is no disruption budget to consult."""
    options = read_options(request, (body or {}).get("deleteOptions") if isinstance(body, dict) else None)
    delete(cluster, request, options)
    return SUCCESS


def _replica_paths(request: Request) -> tuple[str, str, str]:
    custom = request.resource.custom
    if custom is None:
        return "spec.replicas", "status.replicas", ""
    scale = custom["subresources"]["scale"]
    names = ("specReplicasPath", "statusReplicasPath", "labelSelectorPath")
    wanted, present, selector = (scale.get(name, "").lstrip(".") for name in names)
    return wanted, present, selector


def scale_of(request: Request, obj: Obj) -> Obj:
    """Show an object as an `autoscaling/v1` Scale."""
    wanted, present, selector_path = _replica_paths(request)
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: Obj = {"replicas": at(obj, present) or 0}
    labels = at(obj, selector_path) if selector_path else (at(obj, "spec.selector") or {}).get("matchLabels")
    if labels:
        status["selector"] = (
            labels if isinstance(labels, str) else ",".join(f"{key}={value}" for key, value in labels.items())
        )
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"replicas": at(obj, wanted) or 0},
        "status": status,
    }


def write_scale(cluster: Cluster, request: Request, body: Any, patching: bool) -> Obj:
    """Change the number of replicas through the Scale of an object."""
    old = find(cluster, request)
    scale = merge_patch(scale_of(request, old.obj), body) if patching else body
    replicas = (scale.get("spec") or {}).get("replicas") if isinstance(scale, dict) else None
    if not isinstance(replicas, int):
        raise bad_request("expect a Scale with spec.replicas as the body")
    obj = old.copy()
    version = (scale.get("metadata") or {}).get("resourceVersion")
    if version:
        obj["metadata"]["resourceVersion"] = version
    *above, last = _replica_paths(request)[0].split(".")
    place = obj
    for name in above:
        place = place.setdefault(name, {})
    place[last] = replicas
    plain = Request(request.resource, request.namespace, request.name, "", request.query, request.manager)
    return scale_of(request, store_change(cluster, plain, obj, old))
