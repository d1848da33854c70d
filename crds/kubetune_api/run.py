"""The run file: all the trainer is told. The operator writes it, `python -m kubetune_trainer run.json` reads it."""

import hashlib
import json
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from .dataset import DatasetSpec
from .evalrun import Comparison, Gate, Prompt, Task
from .fields import ApiModel, Uri
from .finetunejob import OutputSpec, TrackingSpec
from .method import MethodSpec
from .model import ModelSource
from .training import TrainingSpec

#: Where the run file, the workspace and further claims are mounted in a pod.
RUN_FILE_PATH = "/etc/kubetune/run.json"
WORKSPACE_PATH = "/workspace"
CLAIMS_PATH = "/mnt/claims"
TERMINATION_LOG_PATH = "/dev/termination-log"

#: Environment of the trainer beside the run file.
MOUNTS_ENV = "KUBETUNE_MOUNTS"
"""JSON map of mount path to real directory, set by a kubelet that cannot mount; resolve every path through it."""
HOSTS_ENV = "KUBETUNE_HOSTS"
"""JSON map of host name, or of a pattern such as `*.job`, to address, set by a kubelet that has no pod network and no
name service; look a host up in it first."""
TERMINATION_LOG_ENV = "KUBETUNE_TERMINATION_LOG"
"""File for the termination message where /dev/termination-log cannot be one."""


class Stage(StrEnum):
    """Stages of a run; each is one Job."""

    PREPARE = "prepare"
    TRAIN = "train"
    EVALUATE = "evaluate"


class Layout:
    """Folders of a workspace, relative to its root."""

    MODELS = "cache/models"
    DATA = "data"
    """Prepared shards, `manifest.json`, `quarantine.jsonl`."""
    CHECKPOINTS = "checkpoints"
    ARTIFACTS = "artifacts"
    """`adapter/`, `merged/` with their `lineage.json` and model card."""
    REPORTS = "reports"
    """`data.json`, `training.json`, and a folder for each evaluation with `report.html` and `report.json`."""


class RunIdentity(ApiModel):
    """The object that this run belongs to."""

    kind: Literal["FineTuneJob", "EvalRun"]
    namespace: str
    name: str
    uid: str


class RunCandidate(ApiModel):
    """A candidate with its references resolved to places."""

    name: str
    baseline: bool = False
    model: ModelSource
    """model: the base, or the tuned model itself when it is not an adapter."""
    adapter: Uri | None = None
    """adapter folder on top of the model."""
    prompt: Prompt = Prompt()


class EvaluationRun(ApiModel):
    """What the evaluate stage does."""

    candidates: list[RunCandidate]
    tasks: list[Task]
    comparison: Comparison = Comparison()
    gates: list[Gate] = []
    report: str
    """report folder below the workspace's reports folder."""


class Adjustments(ApiModel):
    """What the operator changed for this run because of what befell the ones before; no result depends on it."""

    micro_batch_divisor: Annotated[int, Field(ge=1, le=1024)] = 1
    """microBatchDivisor: the micro-batch is divided by it and the accumulation multiplied; 2 for each time that the
    stage ran out of memory."""


class Compute(ApiModel):
    """What the pod was given."""

    accelerators: int = 0
    nodes: int = 1
    cpu: Annotated[int, Field(ge=1)] = 1
    """cpu cores, rounded down: the number of threads."""
    memory_bytes: int = 0
    """memoryBytes of the pod; 0 when unbounded."""


_PLACES = (
    "stage",
    "run",
    "workspace",
    "workspaceBytes",
    "workspaceUri",
    "epoch",
    "rendezvous",
    "compute",
    "adjustments",
    "image",
    "tracking",
)


class RunFile(ApiModel):
    """One stage of one run. Paths in it are pod paths; see MOUNTS_ENV."""

    version: Literal["v1"] = "v1"
    stage: Stage
    run: RunIdentity
    workspace: str = WORKSPACE_PATH
    workspace_bytes: int = 0
    """workspaceBytes that the volume holds; 0 when unknown."""
    workspace_uri: str | None = None
    """workspaceUri under which people find the workspace, for example pvc://support-bot-ws-1a2b3c4d."""
    epoch: int = 1
    """epoch of the run in its workspace, one more for each Job that is made for the object. A trainer that finds a
    higher one there belongs to a Job that was given up: it stops without writing."""
    rendezvous: str | None = None
    """rendezvous of the pods of several nodes as host:port; the host is that of the pod with index 0."""
    compute: Compute = Compute()
    adjustments: Adjustments = Adjustments()
    model: ModelSource | None = None
    """model; given for prepare and train."""
    dataset: DatasetSpec | None = None
    """dataset; given for prepare and train."""
    method: MethodSpec = MethodSpec()
    training: TrainingSpec = TrainingSpec()
    output: OutputSpec = OutputSpec()
    tracking: TrackingSpec | None = None
    evaluation: EvaluationRun | None = None
    """evaluation; given for evaluate."""
    image: str | None = None
    """image of the trainer, for the lineage."""

    def config_digest(self) -> str:
        """Return `sha256:<hex>` over the settings that decide the result (not the stage, names or places)."""
        settings = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        for place in _PLACES:
            settings.pop(place, None)
        return digest_of(settings)


def digest_of(document: Any) -> str:
    """Return `sha256:<hex>` of a JSON document in canonical form."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
