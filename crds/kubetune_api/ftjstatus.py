"""`status` of a FineTuneJob."""

from typing import Annotated

from pydantic import Field

from .conditions import Artifact, Attempts, Conditions, Digest, Message, RunAdjustments, Text, Timestamp, UriText
from .fields import ApiModel


class Progress(ApiModel):
    """How far training is; written at most every 30 s, and on every transition."""

    step: int = 0
    """step: optimiser steps done."""
    total_steps: int = 0
    """totalSteps that the run will make."""
    summary: Text | None = None
    """summary as step/totalSteps."""
    percent: int = 0
    """percent of all steps that are done."""
    epoch: Text | None = None
    """epoch that training is in, a decimal as text."""
    loss: Text | None = None
    """loss of training over the last logged steps."""
    step_loss: Text | None = None
    """stepLoss: loss of training of the last step alone, with all its digits."""
    eval_loss: Text | None = None
    """evalLoss: the last validation loss."""
    tokens_per_second: int | None = None
    """tokensPerSecond of non-padding tokens."""
    remaining: Text | None = None
    """remaining time, for people, such as 4m10s."""
    estimated_completion_time: Timestamp | None = None
    """estimatedCompletionTime of training."""
    last_checkpoint_step: int | None = None
    """lastCheckpointStep that a resume would start from."""
    updated_at: Timestamp | None = None
    """updatedAt: when the trainer said so."""


class Resolved(ApiModel):
    """What `Auto` and absent settings became."""

    sequence_length: int | None = None
    """sequenceLength that examples were cut at."""
    micro_batch_tokens: int | None = None
    """microBatchTokens in one forward pass."""
    micro_batch: int | None = None
    """microBatch: packed rows in one forward pass."""
    accumulation: int | None = None
    """accumulation: micro-batches of one optimiser step."""
    total_tokens: int | None = None
    """totalTokens that the run will see."""
    trainable_parameters: int | None = None
    """trainableParameters: how many weights move."""
    precision: Text | None = None
    """precision that is used, BF16 or FP32."""
    memory_estimate: Text | None = None
    """memoryEstimate of a device before training."""
    memory_peak: Text | None = None
    """memoryPeak of a device as measured."""


class DatasetStatus(ApiModel):
    """What the checks found."""

    examples: int | None = None
    """examples that are trained on."""
    validation: int | None = None
    """validation examples that the loss is computed on."""
    held_out: int | None = None
    """heldOut examples that leakage was checked against."""
    tokens: int | None = None
    """tokens of the training examples."""
    truncated: int | None = None
    """truncated examples: those longer than sequenceLength."""
    dropped: Annotated[dict[str, int], Field(max_length=16)] | None = None
    """dropped rows, by the check that dropped them."""
    digest: Digest | None = None
    """digest of the prepared data, sha256:<hex>."""
    report: UriText | None = None
    """report: where the findings of the data checks lie."""


class Lineage(ApiModel):
    """What the artifacts came from."""

    model_revision: Text | None = None
    """modelRevision: commit or digest of the base model."""
    dataset_digest: Digest | None = None
    """datasetDigest of the prepared data."""
    config_digest: Digest | None = None
    """configDigest of the run file."""
    trainer_image: UriText | None = None
    """trainerImage that the pods ran."""
    version: Text | None = None
    """version of KubeTune that made them."""


class FineTuneJobStatus(ApiModel):
    """status of a fine-tuning run."""

    phase: Text | None = None
    """phase for people; programs read the conditions: Pending, Preparing, Queued, Training, Evaluating, Succeeded,
    Failed or Suspended."""
    observed_generation: int | None = None
    """observedGeneration of the spec this status speaks of."""
    start_time: Timestamp | None = None
    """startTime of the first pod."""
    completion_time: Timestamp | None = None
    """completionTime of the run."""
    active_seconds: int | None = None
    """activeSeconds that pods ran, over suspend and retries."""
    accelerator_seconds: int | None = None
    """acceleratorSeconds: accelerators times seconds that pods held them."""
    runs: int | None = None
    """runs: how many Jobs have been made for the current stage (one more on each resume)."""
    epoch: int | None = None
    """epoch: how many Jobs have been made for all stages; pods of an earlier one no longer write to the workspace."""
    failures: int | None = None
    """failures of the current stage that cost a retry, over all its Jobs."""
    disruptions: int | None = None
    """disruptions: attempts that were evicted, pre-empted or lost with their node; they cost no retry, and are
    bounded."""
    adjustments: RunAdjustments | None = None
    """adjustments for the next attempts, because of what befell the ones before."""
    conditions: Conditions = []
    """conditions: Accepted, DataReady, Admitted, Running, Progressing, Succeeded, Failed."""
    progress: Progress | None = None
    """progress of training, written at most every 30 s."""
    resolved: Resolved | None = None
    """resolved settings: what Auto and absent settings became."""
    dataset: DatasetStatus | None = None
    """dataset after the checks."""
    attempts: Attempts | None = None
    """attempts: the last 10 pods, and why each ended."""
    artifacts: Annotated[list[Artifact], Field(max_length=16)] | None = None
    """artifacts that the run made, with their digests."""
    evaluation: Text | None = None
    """evaluation: name of the owned EvalRun."""
    verdict: Message | None = None
    """verdict: the result of the evaluation in one line."""
    lineage: Lineage | None = None
    """lineage: what the artifacts were made from."""
