"""`spec.resources`, `spec.scheduling`, `spec.workspace`: where a run may go and what it takes."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from .fields import ApiModel, LabelValue, Name, Quantity, ShortText, cel, nested

ResourceName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$", max_length=253)]
EFFECT_PATTERN = "^(NoSchedule|PreferNoSchedule|NoExecute)$"
LabelKey = Annotated[str, StringConstraints(min_length=1, max_length=317)]


class Accelerator(ApiModel):
    """The accelerators of one node's pod."""

    count: int = Field(default=1, ge=0, le=64)
    """count of accelerators per node; 0 runs on the CPU."""
    product: LabelValue | None = None
    """product as the node label says it, for example NVIDIA-H100-80GB-HBM3."""
    memory: Quantity | None = None
    """memory that each accelerator has at least, for example 80Gi."""
    resource_name: ResourceName = "nvidia.com/gpu"
    """resourceName of the extended resource: nvidia.com/gpu, amd.com/gpu, gpu.intel.com/i915, ..."""


class Resources(ApiModel):
    """What each pod asks for; requests equal limits."""

    accelerator: Accelerator = nested(Accelerator)
    """accelerator of each node; {count: 0} runs on the CPU."""
    nodes: int = Field(default=1, ge=1, le=512)
    """nodes that train together."""
    cpu: Quantity = "4"
    """cpu cores of each pod."""
    memory: Quantity = "16Gi"
    """memory of each pod."""


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
                cel("self.operator == 'Equal' || !has(self.value)", "operator Exists takes no value", ".value")
            ]
        }
    )

    key: LabelKey | None = None
    """key of the taint; every taint when absent (operator Exists)."""
    operator: Annotated[str, StringConstraints(pattern="^(Equal|Exists)$", max_length=16)] = "Equal"
    """operator: Equal or Exists."""
    value: LabelValue | None = None
    """value of the taint."""
    effect: Annotated[str, StringConstraints(pattern=EFFECT_PATTERN, max_length=32)] | None = None
    """effect of the taint; every effect when absent."""
    toleration_seconds: int | None = Field(default=None, ge=0, le=604_800)
    """tolerationSeconds for NoExecute."""


class Scheduling(ApiModel):
    """Queue, priority and node choice."""

    queue_name: ShortText | None = None
    """queueName of a Kueue LocalQueue in this namespace."""
    priority_class_name: ShortText | None = None
    """priorityClassName of the pods."""
    node_selector: Annotated[dict[str, LabelValue], Field(max_length=32)] = Field(
        default_factory=dict, json_schema_extra={"default": {}}
    )
    """nodeSelector labels that a node must carry."""
    tolerations: Annotated[list[Toleration], Field(max_length=32)] = []
    """tolerations of the pods."""
    spot: Spot = Spot.ALLOW
    """spot: Allow, Require or Avoid interruptible nodes."""


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
    """size of the volume claim that is made for the run."""
    storage_class_name: ShortText | None = None
    """storageClassName of the claim; the cluster's default when absent."""
    claim_name: Name | None = None
    """claimName of an existing PersistentVolumeClaim to use instead of making one."""
