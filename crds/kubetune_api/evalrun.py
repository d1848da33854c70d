"""The `EvalRun` kind: candidates x tasks -> comparison -> gates -> verdict."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from .dataset import Columns, DataFormat
from .evalstatus import EvalRunStatus
from .fields import ApiModel, DecimalText, Duration, LongText, Name, ShortText, cel, nested
from .kind import KubeObject, kind_schema
from .model import DataSource, ModelSource
from .resources import Resources, Scheduling, Workspace

CandidateName = Name
TaskName = Name
MetricPath = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[A-Za-z0-9_]+$", max_length=127)]


class TaskType(StrEnum):
    """Kinds of evaluation task."""

    GENERATION = "Generation"
    CLASSIFICATION = "Classification"
    PERPLEXITY = "Perplexity"
    LM_EVAL = "LmEval"
    SAFETY = "Safety"


class Metric(StrEnum):
    """Metrics by family; a family may report several values (Rouge: rouge1, rouge2, rougeL, rougeLsum)."""

    EXACT_MATCH = "ExactMatch"
    ROUGE = "Rouge"
    BLEU = "Bleu"
    CHRF = "Chrf"
    METEOR = "Meteor"
    ACCURACY = "Accuracy"
    PRECISION = "Precision"
    RECALL = "Recall"
    F1 = "F1"


class Examples(ApiModel):
    """Solved examples put before the question."""

    count: int = Field(default=5, ge=1, le=64)
    """count of examples in the prompt."""
    source: DataSource
    """source of the examples; never the evaluated rows."""


class Prompt(ApiModel):
    """What a candidate gets besides the question."""

    system: LongText | None = None
    """system message."""
    examples: Examples | None = None
    """examples in the prompt: the cheap alternative to tuning."""


class Candidate(ApiModel):
    """One model, prompted one way."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel("has(self.model) != has(self.fineTuneJob)", "give either model or fineTuneJob", ".model")
            ]
        }
    )

    name: CandidateName
    """name in the report."""
    baseline: bool = False
    """baseline that every other candidate is compared with; exactly one candidate is."""
    model: ModelSource | None = None
    """model to load."""
    fine_tune_job: Name | None = None
    """fineTuneJob of this namespace whose result is the candidate."""
    prompt: Prompt = nested(Prompt)
    """prompt around each question."""


class TaskDataset(DataSource):
    """The held-out rows of a task."""

    format: DataFormat = DataFormat.AUTO
    """format of a row, as in a FineTuneJob."""
    columns: Columns = nested(Columns)
    """columns maps our field names to the names in the data."""
    limit: int | None = Field(default=None, ge=1, le=1_000_000)
    """limit of rows, drawn by the seed."""


class LmEvalTask(ApiModel):
    """Tasks of lm-evaluation-harness."""

    tasks: Annotated[list[ShortText], Field(min_length=1, max_length=32)]
    """tasks by their lm-eval names."""
    limit: int | None = Field(default=None, ge=1, le=1_000_000)
    """limit of rows for each task."""


class Task(ApiModel):
    """One way to look at the candidates."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel("self.type != 'LmEval' || has(self.lmEval)", "type LmEval needs lmEval", ".lmEval"),
                cel("!has(self.lmEval) || self.type == 'LmEval'", "lmEval needs type LmEval", ".lmEval"),
                cel("self.type == 'LmEval' || has(self.dataset)", "the task needs a dataset", ".dataset"),
                cel("!has(self.labels) || self.type == 'Classification'", "labels need type Classification", ".labels"),
            ]
        }
    )

    name: TaskName
    """name in metrics and gates: <task>/<metric>."""
    type: TaskType
    """type: Generation, Classification, Perplexity, LmEval or Safety."""
    dataset: TaskDataset | None = None
    """dataset of held-out rows."""
    metrics: Annotated[list[Metric], Field(min_length=1, max_length=16)] | None = None
    """metrics of the task; the type's usual ones when absent."""
    labels: Annotated[list[ShortText], Field(min_length=2, max_length=256)] | None = None
    """labels of a Classification; those of the data when absent. An answer that is none of them counts as wrong."""
    max_new_tokens: int = Field(default=256, ge=1, le=8192)
    """maxNewTokens generated for an answer."""
    lm_eval: LmEvalTask | None = None
    """lmEval settings for type LmEval."""


class Comparison(ApiModel):
    """How differences are judged."""

    alpha: DecimalText = "0.05"
    """alpha: the rate of false alarms over all gates together (Holm)."""
    resamples: int = Field(default=10_000, ge=100, le=100_000)
    """resamples of the paired bootstrap."""
    seed: int = Field(default=42, ge=0, le=2_147_483_647)
    """seed of the bootstrap and of row limits."""


class Gate(ApiModel):
    """A condition that the tuned model must meet."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    "(has(self.improvesBy) ? 1 : 0) + (has(self.atLeast) ? 1 : 0) + (has(self.atMost) ? 1 : 0)"
                    " + (has(self.regressesAtMost) ? 1 : 0) == 1",
                    "give exactly one of improvesBy, atLeast, atMost, regressesAtMost",
                )
            ]
        }
    )

    name: Name
    """name of the gate."""
    metric: MetricPath
    """metric as <task>/<metric>, for example clauses/rougeL."""
    candidate: CandidateName | None = None
    """candidate that must pass; tuned, or the only one that is no baseline, when absent."""
    versus: CandidateName | None = None
    """versus another candidate than the baseline (improvesBy, regressesAtMost)."""
    improves_by: DecimalText | None = None
    """improvesBy at least this much over the baseline, significantly (the interval's near end is beyond it)."""
    at_least: DecimalText | None = None
    """atLeast this value."""
    at_most: DecimalText | None = None
    """atMost this value."""
    regresses_at_most: DecimalText | None = None
    """regressesAtMost: non-inferiority with this margin."""


class Approval(ApiModel):
    """Whether a person must look before the run succeeds."""

    required: bool = False
    """required: a person reviews samples, then `kubetune approve`."""


Candidates = Annotated[list[Candidate], Field(max_length=8)]
Tasks = Annotated[list[Task], Field(min_length=1, max_length=16)]


class EvalSettings(ApiModel):
    """What an EvalRun and a job's own evaluation have in common."""

    tasks: Tasks
    """tasks that every candidate does."""
    comparison: Comparison = nested(Comparison)
    """comparison of the candidates."""
    gates: Annotated[list[Gate], Field(max_length=16)] = []
    """gates that must hold; all of them make GatesPassed True."""
    approval: Approval = nested(Approval)
    """approval by a person."""
    max_runtime: Duration = "24h"
    """maxRuntime of the evaluation."""
    retries: int = Field(default=3, ge=0, le=100)
    """retries of a failed evaluation pod."""


class JobEvaluationSpec(EvalSettings):
    """The EvalRun that a FineTuneJob makes: candidates `tuned` and `base` are implied."""

    candidates: Candidates = []
    """candidates besides the implied `tuned` and `base` (the baseline)."""
    resources: Resources | None = None
    """resources of the evaluation; those of the job when absent."""


class EvalRunSpec(EvalSettings):
    """What to evaluate, and what must hold."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    "self.candidates.filter(c, c.baseline).size() == 1",
                    "exactly one candidate must have baseline: true",
                    ".candidates",
                ),
                cel(
                    "self.candidates.all(c, self.candidates.exists_one(d, d.name == c.name))",
                    "candidate names must differ",
                    ".candidates",
                ),
                cel(
                    "self.tasks.all(t, self.tasks.exists_one(u, u.name == t.name))",
                    "task names must differ",
                    ".tasks",
                ),
            ]
        }
    )

    candidates: Annotated[list[Candidate], Field(min_length=1, max_length=10)]
    """candidates: one of them is the baseline."""
    resources: Resources = nested(Resources)
    """resources of the evaluation pod."""
    scheduling: Scheduling = nested(Scheduling)
    """scheduling of the evaluation pod."""
    workspace: Workspace = nested(Workspace)
    """workspace volume for reports and caches."""
    suspend: bool = False
    """suspend stops the run and keeps what it has; may change at any time."""
    ttl_seconds_after_finished: int | None = Field(default=None, ge=0, le=315_360_000)
    """ttlSecondsAfterFinished deletes the object this long after it finished; kept when absent."""


class EvalRun(KubeObject):
    """An evaluation of candidates on tasks, with honest statistics and gates."""

    model_config = ConfigDict(
        json_schema_extra=kind_schema(
            plural="evalruns",
            short_names=["evr"],
            mutable=("suspend", "ttlSecondsAfterFinished", "retries"),
            columns=[
                ("Phase", "string", ".status.phase", "Where the run is", 0),
                (
                    "Gates",
                    "string",
                    '.status.conditions[?(@.type=="GatesPassed")].status',
                    "Whether every gate holds",
                    0,
                ),
                ("Verdict", "string", ".status.verdict", "The result in one line", 0),
                ("Waiting", "string", '.status.conditions[?(@.type=="Progressing")].reason', "What it waits for", 1),
                ("Age", "date", ".metadata.creationTimestamp", "Time since creation", 0),
            ],
        )
    )

    spec: EvalRunSpec
    """spec: what to evaluate, and what must hold. Immutable but for suspend, ttlSecondsAfterFinished and retries."""
    status: EvalRunStatus | None = None
    """status as the operator sees it."""
