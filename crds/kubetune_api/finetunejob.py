"""The `FineTuneJob` kind: data and a model in, a tuned model and a verdict out."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from .dataset import DatasetSpec
from .evalrun import JobEvaluationSpec
from .fields import ApiModel, DecimalText, Duration, ShortText, Uri, nested
from .ftjstatus import FineTuneJobStatus
from .kind import KubeObject, kind_schema
from .method import MethodSpec
from .model import ModelSource, SecretReference
from .pod import PodSettings
from .resources import Resources, Scheduling, Workspace
from .training import TrainingSpec


class OutputFormat(StrEnum):
    """Forms of the tuned model."""

    ADAPTER = "Adapter"
    MERGED = "Merged"
    GGUF = "GGUF"
    BNB4 = "Bnb4"
    INT8 = "Int8"


class OutputSpec(ApiModel):
    """Where the tuned model goes."""

    uri: Uri | None = None
    """uri of a folder that gets the artifacts, such as s3://models/support-bot; they stay in the workspace when
    absent."""
    formats: Annotated[list[OutputFormat], Field(min_length=1, max_length=5)] | None = None
    """formats to write: Adapter for the adapter alone, Merged for a whole model, GGUF, Bnb4 and Int8 for quantised
    ones. Adapter for adapter tunings and Merged for the others when absent."""
    credentials_secret: SecretReference | None = None
    """credentialsSecret names the Secret whose keys the pod gets as environment."""


class MlflowTracking(ApiModel):
    """An MLflow server."""

    tracking_uri: Annotated[str, Field(max_length=1024, pattern=r"^https?://[^\s]+$")]
    """trackingUri of the server, such as http://mlflow:5000."""
    experiment: ShortText | None = None
    """experiment that the run is logged to; the server's default when absent."""
    credentials_secret: SecretReference | None = None
    """credentialsSecret names the Secret with MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD."""


class WandbTracking(ApiModel):
    """Weights & Biases."""

    project: ShortText
    """project that the run is logged to."""
    entity: ShortText | None = None
    """entity: the user or team of the project."""
    credentials_secret: SecretReference | None = None
    """credentialsSecret names the Secret with WANDB_API_KEY."""


class TrackingSpec(ApiModel):
    """Experiment trackers that follow the run."""

    mlflow: MlflowTracking | None = None
    """mlflow: the MLflow server to log to."""
    wandb: WandbTracking | None = None
    """wandb: the Weights & Biases project to log to."""


class EvaluationSpec(ApiModel):
    """The evaluation that follows training."""

    spec: JobEvaluationSpec
    """spec of the EvalRun that is made after training. Its candidates `tuned` and `base` are implied."""


class FineTuneJobSpec(ApiModel):
    """What to train, on what, how, and where. The shortest useful job is model and dataset."""

    model: ModelSource
    """model: the pretrained model to start from."""
    dataset: DatasetSpec
    """dataset: what the model learns from, and how the data is checked."""
    method: MethodSpec = nested(MethodSpec)
    """method: what is optimised and which weights move; LoRA on all linear layers by default."""
    training: TrainingSpec = nested(TrainingSpec)
    """training: how long, how fast and in what precision the model learns, how often it is checked on validation data,
    and when a checkpoint is written."""
    resources: Resources = nested(Resources)
    """resources of each training pod: accelerators, cores and memory."""
    scheduling: Scheduling = nested(Scheduling)
    """scheduling: in which queue, with what priority and on which nodes the pods run."""
    pod: PodSettings = nested(PodSettings)
    """pod: what the pods carry besides: service account, labels, environment, volumes to read. The evaluation's too."""
    workspace: Workspace = nested(Workspace)
    """workspace: the volume that the stages share. It holds data, checkpoints and artifacts, and goes with the job."""
    output: OutputSpec = nested(OutputSpec)
    """output: where the tuned model goes, and in which forms."""
    tracking: TrackingSpec | None = None
    """tracking by MLflow or Weights & Biases; none when absent."""
    evaluation: EvaluationSpec | None = None
    """evaluation after training: the tuned model against its base, and against whatever else is listed, with gates."""
    retries: int = Field(default=3, ge=0, le=100)
    """retries of failed attempts. Disruption by the cluster does not count, and what another attempt cannot mend is not
    tried again. May change at any time."""
    max_runtime: Duration = "24h"
    """maxRuntime of the job, such as 24h or 1d12h. Only time in which pods run counts, over suspension, pre-emption and
    retries."""
    max_accelerator_hours: DecimalText | None = None
    """maxAcceleratorHours: accelerators times hours that the run may use in all; no limit when absent."""
    ttl_seconds_after_finished: int | None = Field(default=None, ge=0, le=315_360_000)
    """ttlSecondsAfterFinished deletes the job, with its workspace, so long after it finished; it is kept when
    absent. May change at any time."""
    suspend: bool = False
    """suspend stops the run at a checkpoint and gives its accelerators back. May change at any time."""


class FineTuneJob(KubeObject):
    """A fine-tuning run: data and a model in, a tuned model and a verdict out."""

    model_config = ConfigDict(
        json_schema_extra=kind_schema(
            plural="finetunejobs",
            short_names=["ftj"],
            mutable=("suspend", "ttlSecondsAfterFinished", "retries"),
            columns=[
                ("Phase", "string", ".status.phase", "Where the job is", 0),
                ("Step", "string", ".status.progress.summary", "Optimiser step of all steps", 0),
                ("Loss", "string", ".status.progress.loss", "Training loss", 0),
                ("Eval-Loss", "string", ".status.progress.evalLoss", "Validation loss", 1),
                ("Tok/s", "integer", ".status.progress.tokensPerSecond", "Tokens a second", 1),
                ("ETA", "string", ".status.progress.remaining", "Time left", 0),
                ("Waiting", "string", '.status.conditions[?(@.type=="Progressing")].reason', "What it waits for", 1),
                ("Age", "date", ".metadata.creationTimestamp", "Time since creation", 0),
            ],
        )
    )

    spec: FineTuneJobSpec
    """spec: what to train, on what, how, and where. Immutable but for suspend, ttlSecondsAfterFinished and retries."""
    status: FineTuneJobStatus | None = None
    """status of the run as the operator sees it."""


__all__ = ["FineTuneJob", "FineTuneJobSpec", "OutputFormat", "OutputSpec", "TrackingSpec"]
