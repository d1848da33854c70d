"""`spec.training`: budget, optimiser, precision, evaluation during training and checkpoints."""

from enum import StrEnum

from pydantic import ConfigDict, Field

from .fields import ApiModel, DecimalText, cel, nested


class ScheduleType(StrEnum):
    """Learning-rate schedules."""

    COSINE = "Cosine"
    LINEAR = "Linear"
    CONSTANT = "Constant"


class Precision(StrEnum):
    """Arithmetic of the forward and backward pass."""

    AUTO = "Auto"
    BF16 = "BF16"
    FP32 = "FP32"


class Toggle(StrEnum):
    """A switch that the trainer may set itself."""

    AUTO = "Auto"
    ON = "On"
    OFF = "Off"


class Optimizer(StrEnum):
    """Optimisers."""

    ADAMW = "AdamW"
    ADAMW_8BIT = "AdamW8bit"
    PAGED_ADAMW_8BIT = "PagedAdamW8bit"


class Schedule(ApiModel):
    """The learning rate over the run."""

    type: ScheduleType = ScheduleType.COSINE
    """type of decay after the warm-up: Cosine, Linear, or Constant for none."""
    warmup_fraction: DecimalText = "0.03"
    """warmupFraction of all steps during which the rate rises from zero."""


class EvaluateEvery(ApiModel):
    """How often the validation loss is computed."""

    steps: int = Field(default=100, ge=1, le=1_000_000)
    """steps between two evaluations."""


class EarlyStopping(ApiModel):
    """Stop when the validation loss no longer falls; the best step is exported."""

    patience: int = Field(default=3, ge=1, le=1000)
    """patience: evaluations without improvement before training stops."""
    min_delta: DecimalText = "0.001"
    """minDelta by which the loss must fall to count as an improvement."""


class Checkpoints(ApiModel):
    """How often a resumable state is written."""

    every_minutes: int = Field(default=10, ge=1, le=1440)
    """everyMinutes a checkpoint is written; also at the end, and on SIGTERM."""
    every_steps: int | None = Field(default=None, ge=1, le=1_000_000)
    """everySteps writes one by step count as well."""
    keep: int = Field(default=2, ge=1, le=100)
    """keep so many of the newest verified checkpoints."""


#: sequenceLength when the spec gives none and the model knows as many positions.
SEQUENCE_LENGTH = 4096


class TrainingSpec(ApiModel):
    """How the model is trained."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel("!(has(self.epochs) && has(self.maxSteps))", "give epochs or maxSteps, not both", ".maxSteps"),
                cel(
                    "!(has(self.globalBatchTokens) && has(self.globalBatchSize))",
                    "give globalBatchTokens or globalBatchSize, not both",
                    ".globalBatchSize",
                ),
            ]
        }
    )

    epochs: int | None = Field(default=None, ge=1, le=1000)
    """epochs: how often the data is gone through; 1 when neither epochs nor maxSteps is given."""
    max_steps: int | None = Field(default=None, ge=1, le=100_000_000)
    """maxSteps: how many optimiser steps are made, instead of epochs."""
    learning_rate: DecimalText = "2e-4"
    """learningRate at the peak, a decimal as text such as 2e-4."""
    schedule: Schedule = nested(Schedule)
    """schedule of the learning rate over the run."""
    weight_decay: DecimalText = "0"
    """weightDecay of AdamW, a decimal as text such as 0.01."""
    global_batch_tokens: int | None = Field(default=None, ge=1, le=1_000_000_000)
    """globalBatchTokens per optimiser step over all devices; 65536 when globalBatchSize is not given either.
    Micro-batch and accumulation are worked out from it."""
    global_batch_size: int | None = Field(default=None, ge=1, le=1_000_000)
    """globalBatchSize in sequences per optimiser step, instead of globalBatchTokens."""
    sequence_length: int | None = Field(default=None, ge=16, le=1_048_576)
    """sequenceLength in tokens: longer examples are cut (and counted in the report). When absent it is 4096, or what
    the model knows positions for where that is less; status.resolved says what it became."""
    packing: bool = True
    """packing puts several examples in one row, without attention across them."""
    precision: Precision = Precision.AUTO
    """precision: BF16, FP32, or Auto (BF16 where the hardware has it)."""
    activation_checkpointing: Toggle = Toggle.AUTO
    """activationCheckpointing trades time for memory; Auto switches it on only when the run would not fit."""
    compile: Toggle = Toggle.AUTO
    """compile: whether torch.compile is used on the decoder layers; Auto does so where it pays."""
    optimizer: Optimizer = Optimizer.ADAMW
    """optimizer: AdamW, or 8-bit states (AdamW8bit, PagedAdamW8bit)."""
    max_grad_norm: DecimalText = "1.0"
    """maxGradNorm clips the gradient's global norm; 0 switches clipping off."""
    seed: int = Field(default=42, ge=0, le=2_147_483_647)
    """seed of data order, initialisation and dropout."""
    evaluate_every: EvaluateEvery = nested(EvaluateEvery)
    """evaluateEvery: how often the validation loss is computed."""
    early_stopping: EarlyStopping | None = None
    """earlyStopping on the validation loss; off when absent."""
    checkpoints: Checkpoints = nested(Checkpoints)
    """checkpoints that an interrupted run resumes from."""
