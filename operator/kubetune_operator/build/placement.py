"""Where the pods of a Job go: on which nodes, near each other, with which priority, in which queue."""

from typing import Any

from ..plan.launch import QUEUE_LABEL
from ..plan.plan import Placement
from .metadata import Manifest

_PRIORITY = "kueue.x-k8s.io/priority-class"
_TOPOLOGY = {True: "kueue.x-k8s.io/podset-required-topology", False: "kueue.x-k8s.io/podset-preferred-topology"}
_JOB = "batch.kubernetes.io/job-name"


def queue_labels(placement: Placement) -> dict[str, str]:
    """Return the labels by which Kueue takes a Job into its queue."""
    labels = {QUEUE_LABEL: placement.queue_name, _PRIORITY: placement.workload_priority_class}
    return {name: value for name, value in labels.items() if value} if placement.queue_name else {}


def topology_annotations(placement: Placement) -> dict[str, str]:
    """Return the annotations by which Kueue keeps the pods of a Job together."""
    topology = placement.topology
    return {_TOPOLOGY[topology.required]: topology.key} if topology and placement.queue_name else {}


def placement_fields(placement: Placement, job: str) -> Manifest:
    """Return the fields of a pod's spec; `job` names the Job whose pods keep together."""
    affinity: Manifest = {"nodeAffinity": placement.node_affinity} if placement.node_affinity else {}
    fields: Manifest = {
        "nodeSelector": dict(placement.node_selector),
        "affinity": affinity | _together(placement, job),
        "tolerations": [dict(toleration) for toleration in placement.tolerations],
        "priorityClassName": placement.priority_class_name,
    }
    return {name: value for name, value in fields.items() if value}


def _together(placement: Placement, job: str) -> Manifest:
    """Keep the pods of one Job together; a queue does so itself, for it decides on the nodes of all of them at once."""
    topology = placement.topology
    if topology is None or placement.queue_name:
        return {}
    term: dict[str, Any] = {"labelSelector": {"matchLabels": {_JOB: job}}, "topologyKey": topology.key}
    if topology.required:
        return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    weighted = {"weight": 100, "podAffinityTerm": term}
    return {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [weighted]}}
