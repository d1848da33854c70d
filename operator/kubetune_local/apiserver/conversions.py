"""`v1` and `events.k8s.io/v1` Events: two faces of what is stored once, as `v1`."""

from typing import Any

from kubetune_local.apiserver.resources import Registry

Obj = dict[str, Any]
_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_BACK = {new: old for old, new in _NAMES.items()}
_EVENTS = "events.k8s.io"


def to_new(event: Obj) -> Obj:
    """Return a stored Event as `events.k8s.io/v1` shows it."""
    return {**{_NAMES.get(key, key): value for key, value in event.items()}, "apiVersion": f"{_EVENTS}/v1"}


def to_core(event: Obj) -> Obj:
    """Return an `events.k8s.io/v1` Event as it is stored."""
    core = {_BACK.get(key, key): value for key, value in event.items()}
    core.setdefault("source", {})
    core.setdefault("involvedObject", {})
    return {**core, "apiVersion": "v1"}


def share_events(registry: Registry) -> None:
    """Store the Events of the newer group with those of the core group."""
    resource = registry.find(_EVENTS, "v1", "events")
    if resource is not None:
        resource.storage_group = ""
        resource.from_storage, resource.to_storage = to_new, to_core
