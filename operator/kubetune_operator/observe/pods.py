"""Pods as the rules see them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kubetune_api import names

from ..plan.plan import CONTAINER
from .demand import Demand, demand_of
from .timestamps import parse_time

_INDEX = "batch.kubernetes.io/job-completion-index"


@dataclass(frozen=True)
class PodView:
    """What a pod says about its run."""

    name: str
    uid: str
    stage: str
    run: int
    phase: str
    node: str | None
    created: datetime
    scheduled: bool
    unschedulable: str | None
    """Message of the scheduler."""
    waiting_reason: str | None
    waiting_message: str
    started: datetime | None
    finished: datetime | None
    exit_code: int | None
    reason: str | None
    """Why the container or the pod ended: OOMKilled, Evicted, ..."""
    message: str
    """Termination message of the container, or the pod's own message."""
    disrupted: str | None
    """Reason of the DisruptionTarget condition."""
    deleted: datetime | None
    """When it must have ended, once it is to be deleted: the moment of the request and its grace."""
    stop_asked: datetime | None = None
    """When its deletion was asked for."""
    disrupted_at: datetime | None = None
    scheduled_at: datetime | None = None
    index: int = 0
    """Number of the pod among those that train together."""
    demand: Demand | None = None
    """What it asks of a node."""
    lost: bool = False
    """Whether its node was given up: the pod object is there, but nothing will be heard of it in time."""

    @property
    def alive(self) -> bool:
        """Whether it may still write to the workspace."""
        return not self.ended and not self.lost

    @property
    def ended(self) -> bool:
        """Whether nothing of the pod runs any more."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def running(self) -> bool:
        """Whether the trainer runs."""
        return self.started is not None and not self.ended


def pod_view(pod: Mapping[str, Any]) -> PodView:
    """Return the view of a pod."""
    metadata, spec, status = pod["metadata"], pod.get("spec", {}), pod.get("status", {})
    conditions = {entry["type"]: entry for entry in status.get("conditions", [])}
    containers = {entry["name"]: entry for entry in status.get("containerStatuses", [])}
    container: Mapping[str, Any] = containers.get(CONTAINER, {})
    state = container.get("state", {})
    terminated, waiting = state.get("terminated", {}), state.get("waiting", {})
    scheduled = conditions.get("PodScheduled", {})
    disruption = conditions.get("DisruptionTarget", {})
    started = terminated.get("startedAt") or state.get("running", {}).get("startedAt")
    ended = status.get("phase") in ("Succeeded", "Failed")
    labels = metadata.get("labels", {})
    deleted = _time(metadata.get("deletionTimestamp"))
    grace = timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
    disrupted = disruption.get("status") == "True"
    return PodView(
        name=metadata["name"],
        uid=metadata["uid"],
        stage=labels.get(names.LABEL_STAGE, ""),
        run=int(labels.get(names.LABEL_RUN, "1")),
        phase=status.get("phase", "Pending"),
        node=spec.get("nodeName"),
        created=parse_time(metadata["creationTimestamp"]),
        scheduled=bool(spec.get("nodeName")),
        unschedulable=scheduled.get("message", "") if scheduled.get("reason") == "Unschedulable" else None,
        waiting_reason=waiting.get("reason"),
        waiting_message=waiting.get("message", ""),
        started=_time(started),
        finished=_finished(terminated, conditions, metadata) if ended else None,
        exit_code=terminated.get("exitCode"),
        reason=terminated.get("reason") or status.get("reason"),
        message=terminated.get("message") or status.get("message", ""),
        disrupted=disruption.get("reason", "Disrupted") if disrupted else None,
        deleted=deleted,
        stop_asked=deleted - grace if deleted else None,
        disrupted_at=_time(disruption.get("lastTransitionTime")) if disrupted else None,
        scheduled_at=_time(scheduled.get("lastTransitionTime")) if scheduled.get("status") == "True" else None,
        index=_index(metadata),
        demand=demand_of(spec),
    )


def _time(text: str | None) -> datetime | None:
    return parse_time(text) if text else None


def _index(metadata: Mapping[str, Any]) -> int:
    known = {**metadata.get("annotations", {}), **metadata.get("labels", {})}
    return int(known.get(_INDEX, "0"))


def _finished(terminated: Mapping[str, Any], conditions: Mapping[str, Any], metadata: Mapping[str, Any]) -> datetime:
    ready = conditions.get("Ready", {}).get("lastTransitionTime")
    return parse_time(terminated.get("finishedAt") or ready or metadata["creationTimestamp"])
