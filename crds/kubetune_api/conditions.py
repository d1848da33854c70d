"""Conditions and small status documents that both kinds report."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from .fields import ApiModel

Message = Annotated[str, StringConstraints(max_length=2048)]
Reason = Annotated[str, StringConstraints(max_length=128)]
Timestamp = Annotated[str, StringConstraints(max_length=32), Field(json_schema_extra={"format": "date-time"})]
Text = Annotated[str, StringConstraints(max_length=256)]
UriText = Annotated[str, StringConstraints(max_length=1024)]
Digest = Annotated[str, StringConstraints(max_length=80)]


class Condition(ApiModel):
    """One observation, in the form of metav1.Condition."""

    type: Annotated[str, StringConstraints(max_length=64)]
    """type of the condition."""
    status: Literal["True", "False", "Unknown"]
    """status of the condition: True, False or Unknown."""
    reason: Reason
    """reason for the status, a word in CamelCase for programs."""
    message: Message = ""
    """message for people: what happens, and what to do."""
    last_transition_time: Timestamp
    """lastTransitionTime: when the status last changed."""
    observed_generation: int | None = None
    """observedGeneration of the object when this was seen."""


Conditions = Annotated[
    list[Condition],
    Field(
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]

#: Condition types of each kind, in the order they are shown; all are initialised to Unknown.
FINETUNE_CONDITIONS = ("Accepted", "DataReady", "Admitted", "Running", "Progressing", "Succeeded", "Failed")
EVAL_CONDITIONS = ("Accepted", "Running", "Progressing", "Succeeded", "GatesPassed", "Approved", "Failed")


class Attempt(ApiModel):
    """One pod's try at a stage."""

    number: int
    """number of the attempt, from 1."""
    stage: Annotated[str, StringConstraints(max_length=32)]
    """stage of the run: prepare, train or evaluate."""
    pod: Text | None = None
    """pod that ran the stage."""
    started: Timestamp | None = None
    """started: when the pod began to run."""
    ended: Timestamp | None = None
    """ended: when the pod stopped running."""
    node: Text | None = None
    """node it ran on."""
    exit_code: int | None = None
    """exitCode of the trainer."""
    reason: Reason | None = None
    """reason why it ended, a word in CamelCase."""
    message: Message | None = None
    """message that it left: what is wrong, where, and what to do."""
    last_step: int | None = None
    """lastStep that training reached."""


Attempts = Annotated[list[Attempt], Field(max_length=10)]


class RunAdjustments(ApiModel):
    """What the operator changed for the next attempts because of what befell the ones before."""

    micro_batch_divisor: int | None = None
    """microBatchDivisor: how much smaller the micro-batch is after running out of memory; the global batch stays."""
    avoided_nodes: Annotated[list[Text], Field(max_length=8)] | None = None
    """avoidedNodes: nodes that the next attempts stay away from, because attempts on them stalled or were lost."""


class Artifact(ApiModel):
    """A thing that the run made."""

    type: Text
    """type of the artifact: Adapter, Merged or Report."""
    uri: UriText
    """uri of the folder or file."""
    digest: Digest
    """digest over all its files, sha256:<hex>."""
    size_bytes: int
    """sizeBytes of all its files."""
