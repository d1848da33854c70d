"""`spec.resources`, `spec.scheduling`, `spec.workspace`: where a run may go and what it takes."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from .fields import (
    LABEL_KEY_PATTERN,
    OBJECT_NAME_PATTERN,
    ApiModel,
    LabelValue,
    Name,
    ObjectName,
    Quantity,
    cel,
    nested,
)

ResourceName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$", max_length=253)]
EFFECT_PATTERN = "^(NoSchedule|PreferNoSchedule|NoExecute)$"
LabelKey = Annotated[str, StringConstraints(pattern=LABEL_KEY_PATTERN, min_length=1, max_length=317)]
QueueName = Annotated[str, StringConstraints(pattern=OBJECT_NAME_PATTERN, min_length=1, max_length=63)]
"""A name that Kueue reads from a label."""


class Accelerator(ApiModel):
    """The accelerators of one node's pod."""

    count: int = Field(default=1, ge=0, le=64)
    """count of accelerators of each pod; 0 runs on the CPU."""
    product: LabelValue | None = None
    """product as the node label says it, such as NVIDIA-H100-80GB-HBM3; any product when absent."""
    memory: Quantity | None = None
    """memory that each accelerator has at least, such as 80Gi; any amount when absent."""
    resource_name: ResourceName = "nvidia.com/gpu"
    """resourceName of the extended resource: nvidia.com/gpu, amd.com/gpu, gpu.intel.com/i915, ..."""


class Resources(ApiModel):
    """What each pod asks for; requests equal limits."""

    accelerator: Accelerator = nested(Accelerator)
    """accelerator: how many of which kind each pod gets; {count: 0} runs on the CPU."""
    nodes: int = Field(default=1, ge=1, le=512)
    """nodes that train together, with a pod of these resources on each."""
    cpu: Quantity = "4"
    """cpu cores of each pod, such as 4 or 500m."""
    memory: Quantity = "16Gi"
    """memory of each pod, such as 64Gi; not that of its accelerators."""


class Spot(StrEnum):
    """Whether interruptible nodes are wanted."""

    ALLOW = "Allow"
    REQUIRE = "Require"
    AVOID = "Avoid"


class Toleration(ApiModel):
    """A Kubernetes toleration."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel("self.operator == 'Equal' || !has(self.value)", "operator Exists takes no value", ".value"),
                cel("self.operator == 'Exists' || has(self.key)", "operator Equal needs the key of a taint", ".key"),
                cel(
                    "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
                    "tolerationSeconds needs effect NoExecute",
                    ".tolerationSeconds",
                ),
            ]
        }
    )

    key: LabelKey | None = None
    """key of the taint; every taint when absent, with operator Exists."""
    operator: Annotated[str, StringConstraints(pattern="^(Equal|Exists)$", max_length=16)] = "Equal"
    """operator: Equal compares the value too, Exists takes any."""
    value: LabelValue | None = None
    """value of the taint, with operator Equal."""
    effect: Annotated[str, StringConstraints(pattern=EFFECT_PATTERN, max_length=32)] | None = None
    """effect of the taint: NoSchedule, PreferNoSchedule or NoExecute; every effect when absent."""
    toleration_seconds: int | None = Field(default=None, ge=0, le=604_800)
    """tolerationSeconds that a pod stays on a node with a NoExecute taint; for ever when absent."""


class TopologyMode(StrEnum):
    """How strictly pods keep together."""

    REQUIRE = "Require"
    PREFER = "Prefer"


class Topology(ApiModel):
    """A part of the cluster, such as a rack or a zone, that the pods of a run share."""

    key: LabelKey
    """key of the node label whose value the nodes share, such as topology.kubernetes.io/zone or a label of racks."""
    mode: TopologyMode = TopologyMode.REQUIRE
    """mode: Require waits until one such part has room for all pods, Prefer takes other nodes as well."""


class Scheduling(ApiModel):
    """Queue, priority and node choice."""

    queue_name: QueueName | None = None
    """queueName of a Kueue LocalQueue in this namespace; its quota decides when the run starts."""
    workload_priority_class: QueueName | None = None
    """workloadPriorityClass of Kueue: the order in the queue, apart from that of pods on nodes. Needs queueName."""
    priority_class_name: ObjectName | None = None
    """priorityClassName of the pods, a PriorityClass of the cluster."""
    node_selector: Annotated[dict[str, LabelValue], Field(max_length=32)] = Field(
        default_factory=dict, json_schema_extra={"default": {}}
    )
    """nodeSelector: labels that a node must carry to run the pods."""
    tolerations: Annotated[list[Toleration], Field(max_length=32)] = []
    """tolerations of the pods: taints of nodes that do not keep them away."""
    spot: Spot = Spot.ALLOW
    """spot: whether interruptible nodes are allowed, required or avoided; a run that loses its node resumes."""
    topology: Topology | None = None
    """topology that the pods of a run on several nodes share, for a fast network between them; any when absent."""


class Workspace(ApiModel):
    """The volume that the stages share."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    "!has(self.claimName) || !has(self.storageClassName)",
                    "claimName brings its own storage class: leave storageClassName out",
                    ".storageClassName",
                )
            ]
        }
    )

    size: Quantity = "50Gi"
    """size of the volume claim that is made for the run: prepared data, the model, checkpoints and artifacts."""
    storage_class_name: ObjectName | None = None
    """storageClassName of the claim; the cluster's default when absent."""
    claim_name: Name | None = None
    """claimName of an existing PersistentVolumeClaim to use instead of making one."""
