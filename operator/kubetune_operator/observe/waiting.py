"""Why a pod does not run, and what to do: from its own state, events about it, and the nodes there are."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from kubetune_api.fields import quantity_value
from kubetune_api.resources import Resources

from .demand import demand_for
from .pods import PodView
from .snapshot import EventView, Snapshot
from .unschedulable import find

UNSCHEDULABLE = "Unschedulable"


@dataclass(frozen=True)
class Wait:
    """What keeps a run from starting, and what to do about it."""

    reason: str
    message: str
    hopeless: bool = False
    """Whether no amount of waiting helps: somebody has to change something."""
    cause: str = ""
    """For Unschedulable: Impossible, Busy, Closed, VolumeElsewhere or Unknown."""
    ends: datetime | None = None
    """When what is waited for should be free, by the estimate of whoever holds it."""


_IMAGE_REASONS = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_CONFIG_REASONS = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_NO_CLAIM = re.compile(r'persistentvolumeclaim "([^"]+)" not found')
_NEVER = ("InvalidImageName", "ErrImageNeverPull")
_NO_IMAGE = re.compile(r"not found|manifest unknown|unauthorized|denied|forbidden|does not exist", re.IGNORECASE)
#: What the kubelet and the volume controllers say of a Secret, ConfigMap, key or class that is not there.
_MISSING = re.compile(r"not found|couldn't find key|references non-existent", re.IGNORECASE)
_FREE_QUOTA = "free quota of the namespace, or ask for less"
_QUOTA = re.compile(r"(requested|limited): ([^:]*?)(?=, used:|$)")
#: Events that explain why nothing starts, with the reason and remedy that people get.
_EVENTS = {
    "FailedCreate": ("PodCreationFailed", "the Job controller tries again by itself"),
    "FailedMount": ("MountFailed", "check that the claim, ConfigMap or Secret exists"),
    "FailedAttachVolume": ("MountFailed", "the volume is attached elsewhere or its zone has no such node"),
    "ProvisioningFailed": ("VolumePending", "check workspace.storageClassName"),
    "FailedBinding": ("VolumePending", "give workspace.storageClassName, or make a default storage class"),
    "FailedCreatePodSandBox": ("SandboxFailed", "look at the node's network and container runtime"),
}


def why_pending(snapshot: Snapshot, pod: PodView | None, resources: Resources) -> Wait | None:
    """Return what keeps a run from starting, or None while nothing does."""
    if pod is None:
        return _from_events(snapshot.events, ("Job", "PersistentVolumeClaim"))
    if pod.unschedulable is not None:
        return _volume_missing(snapshot, pod.unschedulable) or _unschedulable(snapshot, pod, resources)
    if pod.waiting_reason in _IMAGE_REASONS:
        message = f"image cannot be pulled: {pod.waiting_message or pod.waiting_reason}"
        remedy = "Check the operator's trainer_image and image_pull_secrets"
        return Wait("ImagePullFailed", f"{message}. {remedy}", _is_hopeless_image(pod))
    if pod.waiting_reason in _CONFIG_REASONS:
        message = pod.waiting_message or pod.waiting_reason
        remedy = "Check that the Secrets named in credentialsSecret exist"
        return Wait("ContainerConfigFailed", f"{message}. {remedy}", _MISSING.search(message) is not None)
    return _from_events(snapshot.events, ("Pod", "PersistentVolumeClaim"))


def _is_hopeless_image(pod: PodView) -> bool:
    """Tell an image that is not there, or that may not be pulled, from a registry that does not answer just now."""
    return pod.waiting_reason in _NEVER or _NO_IMAGE.search(pod.waiting_message) is not None


def _volume_missing(snapshot: Snapshot, said: str) -> Wait | None:
    """Return why a volume keeps the scheduler from choosing a node."""
    if missing := _NO_CLAIM.search(said):
        what = f"there is no PersistentVolumeClaim {missing[1]} in namespace {snapshot.subject.metadata.namespace}"
        remedy = "Create it, or correct the pvc:// uri or workspace.claimName that names it"
        return Wait("ClaimNotFound", f"{what}. {remedy}", hopeless=True)
    if "PersistentVolumeClaim" not in said:
        return None
    known = _from_events(snapshot.events, ("PersistentVolumeClaim",))
    return known or Wait("VolumePending", f"a volume is not ready: {said}. `kubectl get pvc` shows which one")


def _from_events(events: Sequence[EventView], kinds: tuple[str, ...]) -> Wait | None:
    for event in reversed(events):
        if event.about in kinds and event.reason in _EVENTS:
            reason, remedy = _EVENTS[event.reason]
            hopeless = _MISSING.search(event.message) is not None
            if "exceeded quota" in event.message:
                reason, hopeless = "QuotaExceeded", _over_quota(event.message)
                remedy = "ask for less: this is more than the whole quota" if hopeless else _FREE_QUOTA
            elif "violates PodSecurity" in event.message:
                reason, hopeless = "PodForbidden", True
                remedy = "the namespace's Pod Security level forbids the pod"
            elif "admission webhook" in event.message and "denied the request" in event.message:
                reason, hopeless = "PodForbidden", True
                remedy = "a webhook of this cluster refuses the pod; ask whoever runs it"
            return Wait(reason, f"{event.message.strip()}; {remedy}", hopeless)
    return None


def _over_quota(message: str) -> bool:
    """Tell whether more is asked for than the whole quota: `requested: cpu=8, used: cpu=0, limited: cpu=4`."""
    parts = {name: dict(_pairs(text)) for name, text in _QUOTA.findall(message)}
    limited = parts.get("limited", {})
    return any(name in limited and amount > limited[name] for name, amount in parts.get("requested", {}).items())


def _pairs(text: str) -> Iterator[tuple[str, Decimal]]:
    for pair in text.split(","):
        name, _, amount = pair.strip().rpartition("=")
        try:
            yield name, quantity_value(amount)
        except ValueError:
            continue


def _unschedulable(snapshot: Snapshot, pod: PodView, resources: Resources) -> Wait:
    demand = pod.demand or demand_for(resources, accelerated=pod.stage != "prepare")
    found = find(demand, resources, snapshot.nodes, snapshot.occupancy, pod.unschedulable or "")
    return Wait(UNSCHEDULABLE, found.message, cause=found.cause, ends=found.ends)
