"""What the rules decide: a Plan that both kinds share, or a Refusal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kubetune_api.evalrun import EvalRunSpec
from kubetune_api.run import RunFile, Stage

BAD_SPEC = "BadSpec"
NOT_SUPPORTED = "NotSupportedYet"
NOT_ALLOWED = "NotAllowed"
CANDIDATE_FAILED = "CandidateFailed"

CONTAINER = "trainer"
"""Name of the one container of every pod."""


@dataclass(frozen=True)
class Refusal:
    """A mistake in a spec: what is wrong, where, and what to do. It is never retried."""

    reason: str
    field: str
    message: str
    parts: tuple["Refusal", ...] = ()
    """Each mistake by itself, when there are several."""

    @staticmethod
    def combine(refusals: Sequence["Refusal"]) -> "Refusal":
        """Return one refusal that names every mistake; the first gives reason and field."""
        first = refusals[0]
        lines = [refusal.message for refusal in refusals]
        return Refusal(first.reason, first.field, "; ".join(dict.fromkeys(lines))[:2000], tuple(refusals))


def bad(field: str, problem: str) -> Refusal:
    """Return the refusal of a value that cannot work."""
    return Refusal(BAD_SPEC, field, f"{field}: {problem}")


@dataclass(frozen=True)
class Owner:
    """The object that everything made for it belongs to."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True)
class TopologyPlan:
    """A part of the cluster that the pods of one Job share."""

    key: str
    required: bool


@dataclass(frozen=True)
class Placement:
    """Where the pods of a stage may go."""

    node_selector: Mapping[str, str] = field(default_factory=dict)
    node_affinity: Mapping[str, object] | None = None
    tolerations: Sequence[Mapping[str, object]] = ()
    priority_class_name: str | None = None
    queue_name: str | None = None
    """Kueue's LocalQueue that admits the Job; None when Kueue has no say."""
    workload_priority_class: str | None = None
    """Kueue's WorkloadPriorityClass."""
    topology: TopologyPlan | None = None
    """Given for Jobs of several pods."""


@dataclass(frozen=True)
class VolumePlan:
    """A volume of the user that is mounted read-only."""

    mount_path: str
    claim_name: str | None = None
    config_map_name: str | None = None


@dataclass(frozen=True)
class PodPlan:
    """The pod of a stage."""

    cpu: str
    memory: str
    extended: Mapping[str, int]
    """Extended resources by name, for example {"nvidia.com/gpu": 1}."""
    placement: Placement
    secrets: Sequence[str] = ()
    """Secrets whose keys become environment variables."""
    claims: Sequence[str] = ()
    """Claims that are mounted read-only below CLAIMS_PATH."""
    service_account_name: str | None = None
    image_pull_secrets: Sequence[str] = ()
    """Secrets with registry credentials besides those of the settings."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    volumes: Sequence[VolumePlan] = ()
    runtime_class_name: str | None = None


@dataclass(frozen=True)
class StagePlan:
    """One Job."""

    stage: Stage
    run_file: RunFile
    pod: PodPlan


@dataclass(frozen=True)
class WorkspacePlan:
    """The volume that the stages share."""

    claim_name: str
    size: str
    storage_class_name: str | None
    access_mode: str
    owned: bool
    """False for a claim that the user brought."""


@dataclass(frozen=True)
class Waiting:
    """Why a run cannot start yet, although nothing is wrong with it."""

    reason: str
    message: str


@dataclass(frozen=True)
class Plan:
    """What a run consists of, whatever its kind."""

    owner: Owner
    stages: Sequence[StagePlan]
    """In order; empty while `waiting`."""
    workspace: WorkspacePlan
    retries: int
    max_runtime_seconds: int
    evaluation: EvalRunSpec | None = None
    """Spec of the EvalRun that follows the stages."""
    waiting: Waiting | None = None
    max_accelerator_seconds: int | None = None
    """Accelerators times seconds that the run may use in all; None without a limit."""

    def stage(self, stage: Stage) -> StagePlan:
        """Return the plan of a stage."""
        return next(plan for plan in self.stages if plan.stage == stage)
