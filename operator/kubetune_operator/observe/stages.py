"""Which stage a run is in, as its stored status says, and what there is of that stage."""

from kubetune_api import names
from kubetune_api.conditions import RunAdjustments
from kubetune_api.evalrun import EvalRun
from kubetune_api.ftjstatus import FineTuneJobStatus
from kubetune_api.run import Stage

from ..plan import Refusal
from ..plan.owner import uid_of
from .pods import PodView
from .situation import Actions, Launch, Situation, Step
from .snapshot import JobView, Snapshot
from .terminal import holds

_RETRY_AFTER = 15.0
#: What a stage does, as a reason for people.
DOING = {Stage.PREPARE: "Preparing", Stage.TRAIN: "Training", Stage.EVALUATE: "Evaluating"}


def current_stage(snapshot: Snapshot) -> Stage | None:
    """Return the stage, or None when the stages are done and the owned EvalRun is due."""
    if isinstance(snapshot.subject, EvalRun):
        return Stage.EVALUATE
    assert isinstance(snapshot.status, FineTuneJobStatus)
    if snapshot.status.evaluation:
        return None
    return Stage.TRAIN if holds(snapshot.status.conditions, "DataReady") else Stage.PREPARE


def current_run(snapshot: Snapshot) -> int:
    """Return the number of the stage's last run; 0 before the first."""
    return snapshot.status.runs or 0


def current_job(snapshot: Snapshot) -> JobView | None:
    """Return the Job of the stage's last run."""
    stage, run = current_stage(snapshot), current_run(snapshot)
    if stage is None or run == 0:
        return None
    name = names.stage_name(snapshot.subject.metadata.name, uid_of(snapshot.subject), stage, run)
    return snapshot.jobs.get(name)


def workspace_of(snapshot: Snapshot) -> str:
    """Return the name of the claim that the run works in."""
    subject = snapshot.subject
    return subject.spec.workspace.claim_name or names.workspace_name(subject.metadata.name, uid_of(subject))


def unfinished_jobs(snapshot: Snapshot) -> list[str]:
    """Return the names of the Jobs that still may make pods."""
    return [job.name for job in snapshot.jobs.values() if not job.finished and not job.deleted]


def live_pods(snapshot: Snapshot) -> list[PodView]:
    """Return the pods that may still write to the workspace."""
    return [pod for pod in snapshot.pods if pod.alive]


def last_pod(snapshot: Snapshot) -> PodView | None:
    """Return the newest pod of the stage's last run."""
    stage, run = current_stage(snapshot), current_run(snapshot)
    pods = [pod for pod in snapshot.pods if pod.stage == stage and pod.run == run]
    return pods[-1] if pods else None


def launch(
    snapshot: Snapshot, stage: Stage, run: int, retries: int, adjustments: RunAdjustments | None = None
) -> Situation:
    """Return the situation in which a Job is to be made.

    A plan that has become a refusal ends the run; one that waits again, for a FineTuneJob that is gone, makes nothing.
    Jobs of earlier runs that could still make pods are stopped before.
    """
    if isinstance(snapshot.plan, Refusal):
        return Situation(Step.FAILED, snapshot.plan.reason, snapshot.plan.message, stage, run)
    if (wait := snapshot.plan.waiting) is not None:
        # The number of a run is taken when its Job is made: a run that waits keeps the one that it has.
        run = current_run(snapshot)
        return Situation(Step.WAITING, wait.reason, wait.message, stage, run, requeue_after=_RETRY_AFTER)
    made_with = adjustments or snapshot.status.adjustments or RunAdjustments()
    order = Launch(
        stage,
        run,
        max(retries, 0),
        _epoch(snapshot, stage, run),
        made_with.micro_batch_divisor or 1 if stage is Stage.TRAIN else 1,
        tuple(made_with.avoided_nodes or ()),
    )
    subject = snapshot.subject
    name = names.stage_name(subject.metadata.name, uid_of(subject), stage, run)
    actions = Actions(launch=order, stop_jobs=[each for each in unfinished_jobs(snapshot) if each != name])
    message = f"the {stage} pod is on its way"
    return Situation(Step.STARTING, DOING[stage], message, stage, run, adjustments=adjustments, actions=actions)


def _epoch(snapshot: Snapshot, stage: Stage, run: int) -> int:
    """Return the number of a run over all stages: the stored one for the run that is stored, one more for the next."""
    stored = snapshot.status.epoch or (1 if current_run(snapshot) else 0)
    return stored if (stage, run) == (current_stage(snapshot), current_run(snapshot)) else stored + 1
