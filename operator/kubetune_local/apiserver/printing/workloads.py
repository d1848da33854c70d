"""Rows of Jobs and of the other kinds that own pods."""

from datetime import datetime
from typing import Any

from kubetune_local.apiserver.printing.ages import human_duration, moment, since
from kubetune_local.apiserver.printing.labels import NONE, containers, labels, selector

Obj = dict[str, Any]


def _name_and_age(obj: Obj, now: datetime) -> tuple[str, str]:
    return obj["metadata"]["name"], since(obj["metadata"].get("creationTimestamp"), now)


def _template(obj: Obj) -> list[str]:
    return containers(obj["spec"].get("template", {}).get("spec", {}))


def job(obj: Obj, now: datetime) -> list[Any]:
    """Name, status, completions, duration, age; containers, images, selector."""
    spec, status = obj["spec"], obj.get("status", {})
    name, age = _name_and_age(obj, now)
    started, ended = moment(status.get("startTime")), moment(status.get("completionTime"))
    duration = human_duration(((ended or now) - started).total_seconds()) if started else ""
    state = _job_state(obj)
    return [name, state, _completions(spec, status), duration, age, *_template(obj), selector(spec.get("selector"))]


def _completions(spec: Obj, status: Obj) -> str:
    succeeded = status.get("succeeded", 0)
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    parallelism = spec.get("parallelism", 0)
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _job_state(obj: Obj) -> str:
    true = {item["type"] for item in obj.get("status", {}).get("conditions") or () if item.get("status") == "True"}
    for kind in ("Complete", "Failed"):
        if kind in true:
            return kind
    if "deletionTimestamp" in obj["metadata"]:
        return "Terminating"
    return next((kind for kind in ("Suspended", "FailureTarget", "SuccessCriteriaMet") if kind in true), "Running")


def cron_job(obj: Obj, now: datetime) -> list[Any]:
    """Name, schedule, time zone, suspend, active, last schedule, age; containers, images, selector."""
    spec, status = obj["spec"], obj.get("status", {})
    name, age = _name_and_age(obj, now)
    last = since(status["lastScheduleTime"], now) if status.get("lastScheduleTime") else NONE
    suspend = {None: "<unset>", True: "True", False: "False"}[spec.get("suspend")]
    template = spec.get("jobTemplate", {}).get("spec", {})
    details = [*containers(template.get("template", {}).get("spec", {})), selector(template.get("selector"))]
    zone = spec.get("timeZone") or NONE
    return [name, spec.get("schedule", ""), zone, suspend, len(status.get("active") or ()), last, age, *details]


def deployment(obj: Obj, now: datetime) -> list[Any]:
    """Name, ready, up to date, available, age; containers, images, selector."""
    spec, status = obj["spec"], obj.get("status", {})
    name, age = _name_and_age(obj, now)
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    counts = [status.get("updatedReplicas", 0), status.get("availableReplicas", 0)]
    return [name, ready, *counts, age, *_template(obj), selector(spec.get("selector"), "")]


def replica_set(obj: Obj, now: datetime) -> list[Any]:
    """Name, desired, current, ready, age; containers, images, selector."""
    spec, status = obj["spec"], obj.get("status", {})
    name, age = _name_and_age(obj, now)
    counts = [spec.get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0)]
    return [name, *counts, age, *_template(obj), selector(spec.get("selector"))]


def replication_controller(obj: Obj, now: datetime) -> list[Any]:
    """Name, desired, current, ready, age; containers, images, selector."""
    *cells, _ = replica_set({**obj, "spec": {**obj["spec"], "selector": None}}, now)
    return [*cells, labels(obj["spec"].get("selector"))]


def stateful_set(obj: Obj, now: datetime) -> list[Any]:
    """Name, ready, age; containers, images."""
    name, age = _name_and_age(obj, now)
    ready = f"{obj.get('status', {}).get('readyReplicas', 0)}/{obj['spec'].get('replicas', 0)}"
    return [name, ready, age, *_template(obj)]


def daemon_set(obj: Obj, now: datetime) -> list[Any]:
    """Name, five counts, node selector, age; containers, images, selector."""
    spec, status = obj["spec"], obj.get("status", {})
    name, age = _name_and_age(obj, now)
    keys = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled")
    counts = [status.get(key, 0) for key in (*keys, "numberAvailable")]
    nodes = labels(spec.get("template", {}).get("spec", {}).get("nodeSelector"))
    return [name, *counts, nodes, age, *_template(obj), selector(spec.get("selector"))]


def controller_revision(obj: Obj, now: datetime) -> list[Any]:
    """Name, controller, revision, age."""
    name, age = _name_and_age(obj, now)
    owners = [owner for owner in obj["metadata"].get("ownerReferences") or () if owner.get("controller")]
    return [name, _owner(owners[0]) if owners else NONE, obj.get("revision", 0), age]


def _owner(owner: Obj) -> str:
    group = owner["apiVersion"].rpartition("/")[0]
    kind = owner["kind"].lower()
    return f"{kind}.{group}/{owner['name']}" if group else f"{kind}/{owner['name']}"
