"""The `EvalRun` kind: candidates x tasks -> comparison -> gates -> verdict."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from .dataset import Columns, DataFormat
from .evalstatus import EvalRunStatus
from .fields import ApiModel, DecimalText, Duration, LongText, Name, ObjectName, ShortText, cel, nested
from .kind import KubeObject, kind_schema
from .model import DataSource, ModelSource
from .pod import PodSettings
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
    """count of examples that each prompt gets."""
    source: DataSource
    """source of the examples; must not be the rows that are evaluated."""


class Prompt(ApiModel):
    """What a candidate gets besides the question."""

    system: LongText | None = None
    """system message before each question."""
    examples: Examples | None = None
    """examples: solved ones put before each question, the cheap alternative to tuning."""


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
    """name of the candidate in results, gates and the report."""
    baseline: bool = False
    """baseline: whether every other candidate is compared with this one. Exactly one is the baseline."""
    model: ModelSource | None = None
    """model to load, as in a FineTuneJob."""
    fine_tune_job: ObjectName | None = None
    """fineTuneJob of this namespace whose tuned model is the candidate, instead of a model."""
    prompt: Prompt = nested(Prompt)
    """prompt: what the candidate gets besides the question."""


class TaskDataset(DataSource):
    """The held-out rows of a task."""

    format: DataFormat = DataFormat.AUTO
    """format of a row, as in a FineTuneJob; Auto tells by the columns."""
    columns: Columns = nested(Columns)
    """columns maps field names of the format to column names of your data, where they differ."""
    limit: int | None = Field(default=None, ge=1, le=1_000_000)
    """limit of rows; so many are drawn by the seed, the same for every candidate."""


class LmEvalTask(ApiModel):
    """Tasks of lm-evaluation-harness."""

    tasks: Annotated[list[ShortText], Field(min_length=1, max_length=32)]
    """tasks of the harness by their names, such as hellaswag."""
    limit: int | None = Field(default=None, ge=1, le=1_000_000)
    """limit of rows for each task of the harness."""


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
    """name of the task; metrics and gates are named <task>/<metric>."""
    type: TaskType
    """type of the task: Generation writes answers and compares them with the references, Classification chooses labels,
    Perplexity measures how likely the reference answers are, LmEval runs tasks of lm-evaluation-harness, Safety
    measures refusals and toxicity."""
    dataset: TaskDataset | None = None
    """dataset of held-out rows; needed by every type but LmEval."""
    metrics: Annotated[list[Metric], Field(min_length=1, max_length=16)] | None = None
    """metrics to report, each a family such as Rouge with its values; the usual ones of the type when absent."""
    labels: Annotated[list[ShortText], Field(min_length=2, max_length=256)] | None = None
    """labels of a Classification; those of the data when absent. An answer that is none of them counts as wrong."""
    max_new_tokens: int = Field(default=256, ge=1, le=8192)
    """maxNewTokens of an answer; longer ones are cut."""
    lm_eval: LmEvalTask | None = None
    """lmEval: what to run of lm-evaluation-harness, with type LmEval."""


class Comparison(ApiModel):
    """How differences are judged."""

    alpha: DecimalText = "0.05"
    """alpha: the rate of false alarms that is allowed over all comparisons together (Holm); intervals
    cover 1 - alpha."""
    resamples: int = Field(default=10_000, ge=100, le=100_000)
    """resamples of the paired bootstrap."""
    seed: int = Field(default=42, ge=0, le=2_147_483_647)
    """seed of the bootstrap and of the rows that a limit draws."""


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
    """name of the gate in the verdict."""
    metric: MetricPath
    """metric as <task>/<metric>, such as clauses/rougeL."""
    candidate: CandidateName | None = None
    """candidate that must pass the gate; tuned, or the only one that is no baseline, when absent."""
    versus: CandidateName | None = None
    """versus: the candidate to compare with in improvesBy and regressesAtMost; the baseline when absent."""
    improves_by: DecimalText | None = None
    """improvesBy at least this much over the baseline, significantly: the near end of the interval is beyond it."""
    at_least: DecimalText | None = None
    """atLeast this value, such as an accuracy of 0.85."""
    at_most: DecimalText | None = None
    """atMost this value, such as a perplexity of 9.5."""
    regresses_at_most: DecimalText | None = None
    """regressesAtMost by this margin against the baseline, shown by the interval (non-inferiority), not by a lack of
    significance."""


class Approval(ApiModel):
    """Whether a person must look before the run succeeds."""

    required: bool = False
    """required: whether a person must approve the result before the run succeeds."""


Candidates = Annotated[list[Candidate], Field(max_length=8)]
Tasks = Annotated[list[Task], Field(min_length=1, max_length=16)]


class EvalSettings(ApiModel):
    """What an EvalRun and a job's own evaluation have in common."""

    tasks: Tasks
    """tasks that every candidate does, on the same rows."""
    comparison: Comparison = nested(Comparison)
    """comparison: how differences between candidates are judged."""
    gates: Annotated[list[Gate], Field(max_length=16)] = []
    """gates that must hold; condition GatesPassed is True when all of them do."""
    approval: Approval = nested(Approval)
    """approval by a person before the run counts as succeeded."""
    max_runtime: Duration = "24h"
    """maxRuntime of the evaluation, such as 24h; only time in which pods run counts."""
    retries: int = Field(default=3, ge=0, le=100)
    """retries of failed attempts; disruption by the cluster does not count. May change at any time."""


class JobEvaluationSpec(EvalSettings):
    """The EvalRun that a FineTuneJob makes: candidates `tuned` and `base` are implied."""

    candidates: Candidates = []
    """candidates besides the implied `tuned` and `base`, which is the baseline."""
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
    """candidates to compare; exactly one of them is the baseline."""
    resources: Resources = nested(Resources)
    """resources of the evaluation pod: accelerators, cores and memory."""
    scheduling: Scheduling = nested(Scheduling)
    """scheduling of the evaluation pod: queue, priority and node choice."""
    pod: PodSettings = nested(PodSettings)
    """pod: what the evaluation pod carries besides: service account, labels, environment, volumes to read."""
    workspace: Workspace = nested(Workspace)
    """workspace: the volume for models, answers and the report. It goes with the run."""
    suspend: bool = False
    """suspend stops the run, keeps the answers it has, and gives its accelerators back. May change at any time."""
    ttl_seconds_after_finished: int | None = Field(default=None, ge=0, le=315_360_000)
    """ttlSecondsAfterFinished deletes the run, with its workspace, so long after it finished; it is kept when
    absent. May change at any time."""


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
    """status of the run as the operator sees it."""
