"""What is known of a pod's containers -> its status, as a kubelet writes it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kubetune_local import timestamps

from .downward import ADDRESS

JSON = dict[str, Any]


@dataclass(frozen=True)
class ContainerView:
    """One container, as it is now."""

    spec: JSON
    state: JSON
    """`waiting`, `running` or `terminated`, as in a ContainerStatus."""
    last_state: JSON = field(default_factory=dict)
    restarts: int = 0
    identity: str = ""

    @property
    def exit_code(self) -> int | None:
        """Exit code when it has ended."""
        ended = self.state.get("terminated")
        return int(ended["exitCode"]) if ended else None

    @property
    def running(self) -> bool:
        """True while its process runs."""
        return "running" in self.state


@dataclass(frozen=True)
class Ending:
    """Why the kubelet ends a pod that did not end by itself."""

    reason: str
    message: str
    disruption: bool = False
    """The pod is not to blame: condition DisruptionTarget, which a Job's podFailurePolicy can ignore."""


@dataclass(frozen=True)
class PodView:
    """A pod and its containers, as they are now."""

    pod: JSON
    containers: list[ContainerView]
    initial: list[ContainerView]
    started_at: str
    laid_out: bool
    """Its volumes are there."""
    final: bool = False
    """No container of it will be started (again)."""
    ending: Ending | None = None


def pod_status(view: PodView, previous: JSON, moment: datetime) -> JSON:
    """Return the status of a pod; times of conditions in `previous` that did not change are kept."""
    phase = phase_of(view)
    status: JSON = {
        "phase": phase,
        "hostIP": ADDRESS,
        "hostIPs": [{"ip": ADDRESS}],
        "startTime": view.started_at,
        "conditions": _dated(_conditions(view, phase), previous, moment),
        "containerStatuses": [_container_status(each, view) for each in view.containers],
    }
    if view.initial:
        status["initContainerStatuses"] = [_container_status(each, view) for each in view.initial]
    if view.laid_out:
        status |= {"podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}]}
    if view.ending is not None and phase == "Failed":
        status |= {"reason": view.ending.reason, "message": view.ending.message}
    if generation := view.pod["metadata"].get("generation"):
        status["observedGeneration"] = generation
    return status


def phase_of(view: PodView) -> str:
    """Return the phase. Source: k8s.io/kubernetes/pkg/kubelet getPhase."""
    every = [*view.initial, *view.containers]
    if view.final and not any(each.running for each in every):
        failed = any(each.exit_code != 0 for each in view.containers) or any(each.exit_code for each in view.initial)
        return "Failed" if failed or view.ending is not None else "Succeeded"
    if any(each.exit_code is None for each in view.initial) or any(each.exit_code for each in view.initial):
        return "Pending"
    if all(each.exit_code is None and not each.running and not each.last_state for each in view.containers):
        return "Pending"
    return "Running"


def _container_status(view: ContainerView, pod: PodView) -> JSON:
    initial = view in pod.initial
    state = view.state
    if pod.final and "waiting" in state:
        message = "The container was never started before the pod ended"
        state = {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": message}}
    status: JSON = {
        "name": view.spec["name"],
        "image": view.spec.get("image", ""),
        "imageID": "",
        "state": state,
        "lastState": view.last_state,
        "ready": view.exit_code == 0 if initial else view.running,
        "started": view.running,
        "restartCount": view.restarts,
    }
    if view.identity:
        status["containerID"] = view.identity
    return status


def _conditions(view: PodView, phase: str) -> list[JSON]:
    waiting = [each.spec["name"] for each in view.initial if each.exit_code != 0]
    unready = [each.spec["name"] for each in view.containers if not each.running]
    ended = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase)
    if unready:
        why = {"reason": ended or "ContainersNotReady"}
        if ended != "PodCompleted":
            why["message"] = f"containers with unready status: [{' '.join(unready)}]"
        ready = {"status": "False", **why}
    else:
        ready = {"status": "True"}
    initialized: JSON = {"status": "True"}
    if waiting:
        message = f"containers with incomplete status: [{' '.join(waiting)}]"
        initialized = {"status": "False", "reason": "ContainersNotInitialized", "message": message}
    elif phase == "Succeeded":
        initialized["reason"] = "PodCompleted"
    sandbox = view.laid_out and not ended
    conditions = [
        {"type": "PodReadyToStartContainers", "status": "True" if sandbox else "False"},
        {"type": "Initialized", **initialized},
        {"type": "Ready", **ready},
        {"type": "ContainersReady", **ready},
    ]
    if view.ending is not None and view.ending.disruption:
        target = {"reason": "TerminationByKubelet", "message": view.ending.message}
        conditions.append({"type": "DisruptionTarget", "status": "True", **target})
    return conditions


def _dated(conditions: list[JSON], previous: JSON, moment: datetime) -> list[JSON]:
    known = {entry["type"]: entry for entry in previous.get("conditions") or []}
    for condition in conditions:
        before = known.get(condition["type"], {})
        same = before.get("status") == condition["status"] and before.get("lastTransitionTime")
        condition["lastTransitionTime"] = before["lastTransitionTime"] if same else timestamps.rfc3339(moment)
        condition["lastProbeTime"] = None
        # The patch merges conditions by type: what no longer holds has to be said.
        condition.setdefault("reason", None)
        condition.setdefault("message", None)
    return conditions
