"""The row of a Pod: what its containers say, put into one word."""

from datetime import datetime
from typing import Any

from kubetune_local.apiserver.printing.ages import moment, since
from kubetune_local.apiserver.printing.labels import NONE

Obj = dict[str, Any]
_TERMINAL = ("Succeeded", "Failed")


def pod(obj: Obj, now: datetime) -> list[Any]:
    """Name, ready, status, restarts, age; IP, node, nominated node, readiness gates."""
    spec, status = obj.get("spec", {}), obj.get("status", {})
    ready, reason, restarts = _summary(obj, now)
    addresses = status.get("podIPs") or [{}]
    return [
        obj["metadata"]["name"],
        f"{ready}/{len(spec.get('containers', ())) + len(_sidecars(spec))}",
        reason,
        restarts,
        since(obj["metadata"].get("creationTimestamp"), now),
        addresses[0].get("ip") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _readiness_gates(spec, status),
    ]


def row_conditions(obj: Obj) -> list[Obj]:
    """Mark rows of pods that have ended, so that clients can grey them out."""
    texts = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}
    phase = obj.get("status", {}).get("phase")
    if phase not in texts:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": texts[phase]}]


def _summary(obj: Obj, now: datetime) -> tuple[int, str, str]:
    spec, status = obj.get("spec", {}), obj.get("status", {})
    conditions = {item["type"]: item for item in status.get("conditions") or ()}
    reason = status.get("reason") or status.get("phase", "")
    if conditions.get("PodScheduled", {}).get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    init = status.get("initContainerStatuses") or []
    ready, stuck = _initialising(init, spec)
    counted = init
    if not stuck or conditions.get("Initialized", {}).get("status") == "True":
        counted = [item for item in init if item["name"] in _sidecars(spec)] + (status.get("containerStatuses") or [])
        running, words = _containers(status.get("containerStatuses") or [])
        ready += running
        reason = words[0] if words else stuck or reason
        if reason == "Completed" and running:
            reason = "Running" if conditions.get("Ready", {}).get("status") == "True" else "NotReady"
    else:
        reason = stuck
    if "deletionTimestamp" in obj["metadata"]:
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in _TERMINAL:
            reason = "Terminating"
    return ready, reason, _restarts(counted, now)


def _sidecars(spec: Obj) -> set[str]:
    return {item["name"] for item in spec.get("initContainers") or () if item.get("restartPolicy") == "Always"}


def _initialising(statuses: list[Obj], spec: Obj) -> tuple[int, str]:
    """Return how many sidecars are ready, and what the first unfinished init container is at."""
    ready = 0
    for index, item in enumerate(statuses):
        state = item.get("state") or {}
        ended, waiting = state.get("terminated"), (state.get("waiting") or {}).get("reason", "")
        if ended is not None and not ended.get("exitCode"):
            continue
        if item["name"] in _sidecars(spec) and item.get("started"):
            ready += bool(item.get("ready"))
            continue
        if ended is not None:
            return ready, "Init:" + _ending(ended)
        if waiting and waiting != "PodInitializing":
            return ready, "Init:" + waiting
        return ready, f"Init:{index}/{len(spec.get('initContainers') or ())}"
    return ready, ""


def _containers(statuses: list[Obj]) -> tuple[int, list[str]]:
    """Return how many containers run and are ready, and what the others say, the first container first."""
    running, words = 0, []
    for item in statuses:
        state = item.get("state") or {}
        waiting, ended = (state.get("waiting") or {}).get("reason"), state.get("terminated")
        if waiting:
            words.append(waiting)
        elif ended is not None:
            words.append(_ending(ended))
        elif item.get("ready") and state.get("running") is not None:
            running += 1
    return running, words


def _ending(ended: Obj) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _restarts(statuses: list[Obj], now: datetime) -> str:
    count = sum(item.get("restartCount", 0) for item in statuses)
    ends = [((item.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for item in statuses]
    last = max((then for then in map(moment, ends) if then), default=None)
    return f"{count} ({since(last.isoformat(), now)} ago)" if count and last else str(count)


def _readiness_gates(spec: Obj, status: Obj) -> str:
    gates = [gate["conditionType"] for gate in spec.get("readinessGates") or ()]
    true = {item["type"] for item in status.get("conditions") or () if item.get("status") == "True"}
    return f"{len(true.intersection(gates))}/{len(gates)}" if gates else NONE
