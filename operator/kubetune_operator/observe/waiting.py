"""Why a pod does not run, and what to do: from its own state, events about it, and the nodes there are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kubetune_api.resources import Resources

from ..plan.accelerators import match_expressions
from .nodes import NodeView, inventory
from .pods import PodView
from .snapshot import EventView, Snapshot

UNSCHEDULABLE = "Unschedulable"


@dataclass(frozen=True)
class Wait:
    """What keeps a run from starting, and what to do about it."""

    reason: str
    message: str
    hopeless: bool = False
    """Whether no amount of waiting helps: somebody has to change something."""


_IMAGE_REASONS = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_CONFIG_REASONS = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_NO_CLAIM = re.compile(r'persistentvolumeclaim "([^"]+)" not found')
_NEVER = ("InvalidImageName", "ErrImageNeverPull")
_NO_IMAGE = re.compile(r"not found|manifest unknown|unauthorized|denied|forbidden|does not exist", re.IGNORECASE)
#: What the kubelet and the volume controllers say of a Secret, ConfigMap, key or class that is not there.
_MISSING = re.compile(r"not found|couldn't find key|references non-existent", re.IGNORECASE)
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
        return _volume_missing(snapshot, pod.unschedulable) or Wait(
            UNSCHEDULABLE, _unschedulable(snapshot, pod, resources)
        )
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
                reason, remedy = "QuotaExceeded", "free quota of the namespace, or ask for less"
            elif "violates PodSecurity" in event.message:
                reason, remedy = "PodForbidden", "the namespace's Pod Security level forbids the pod"
                hopeless = True
            return Wait(reason, f"{event.message.strip()}; {remedy}", hopeless)
    return None


def _unschedulable(snapshot: Snapshot, pod: PodView, resources: Resources) -> str:
    wanted = resources.accelerator
    accelerated = pod.stage != "prepare" and wanted.count > 0
    said = f" (scheduler: {pod.unschedulable})" if pod.unschedulable else ""
    if not accelerated:
        what = f"waiting for {resources.cpu} cores and {resources.memory} of memory"
        return f"{what}{said}. Add a node, or lower resources.cpu or resources.memory"
    product = f" ({wanted.product})" if wanted.product else ""
    what = f"waiting for {wanted.count} x {wanted.resource_name}{product}"
    if snapshot.nodes is None:
        return f"{what}{said}. Add a node that offers it, or set resources.accelerator.count: 0"
    offering = [node for node in snapshot.nodes if node.amount(wanted.resource_name) > 0]
    found = inventory(snapshot.nodes)
    if not offering:
        message = f"{what}: no node offers it ({found})"
        return f"{message}. Add a node with {wanted.resource_name}, or set resources.accelerator.count: 0"
    if all(node.amount(wanted.resource_name) < wanted.count for node in offering):
        most = max(node.amount(wanted.resource_name) for node in offering)
        return f"{what}: no node has more than {most} ({found}). Lower resources.accelerator.count or add a larger node"
    if not any(_matches(node, resources) for node in offering):
        message = f"{what}: no node has the product or memory asked for ({found})"
        return f"{message}. Change resources.accelerator.product or memory, or add such a node"
    return f"{what}: all of them are in use{said}. It starts when a node is free"


def _matches(node: NodeView, resources: Resources) -> bool:
    for expression in match_expressions(resources.accelerator):
        label, values = node.labels.get(str(expression["key"])), expression["values"]
        assert isinstance(values, list)
        if expression["operator"] == "Gt":
            if label is None or not label.isdigit() or int(label) <= int(values[0]):
                return False
        elif label not in values:
            return False
    return True
