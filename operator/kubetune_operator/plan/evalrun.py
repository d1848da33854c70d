"""EvalRun + settings + the jobs it names -> Plan | Refusal: one stage that does every task with every candidate."""

from collections.abc import Iterator, Sequence

from kubetune_api.evalrun import EvalRun, EvalRunSpec
from kubetune_api.fields import duration_seconds
from kubetune_api.run import EvaluationRun, RunCandidate, RunFile, RunIdentity, Stage

from ..settings import Settings
from . import candidates, evaluation, max_runtime, pod, resources, scheduling, tasks, unsupported, workspace
from .owner import owner_of
from .plan import Owner, Plan, PodPlan, Refusal, StagePlan, Waiting, WorkspacePlan


def plan_eval_run(run: EvalRun, settings: Settings, jobs: candidates.Jobs) -> Plan | Refusal:
    """Return the stage of an evaluation, a plan that waits for its jobs, or every mistake in its spec."""
    refusals = list(_refusals(run.spec, settings))
    resolved = [] if refusals else [candidates.resolve(candidate, jobs) for candidate in run.spec.candidates]
    refusals += [entry for entry in resolved if isinstance(entry, Refusal)]
    if refusals:
        return Refusal.combine(refusals)
    owner = owner_of(run)
    volume = workspace.plan(run.spec.workspace, owner, settings)
    ready = [entry for entry in resolved if isinstance(entry, RunCandidate)]
    waiting = [entry for entry in resolved if isinstance(entry, Waiting)]
    return Plan(
        owner=owner,
        stages=[] if waiting else [_stage(run.spec, ready, owner, volume, settings)],
        workspace=volume,
        retries=run.spec.retries,
        max_runtime_seconds=duration_seconds(run.spec.max_runtime),
        waiting=waiting[0] if waiting else None,
    )


def _refusals(spec: EvalRunSpec, settings: Settings) -> Iterator[Refusal]:
    yield from unsupported.refuse(spec.dump(), unsupported.EVAL_RUN)
    yield from evaluation.refuse_run(spec, settings)
    yield from scheduling.refuse(spec.scheduling, spec.resources.nodes)
    yield from pod.refuse(spec.pod, settings)
    yield from workspace.refuse(spec.workspace)
    yield from max_runtime.refuse(spec.max_runtime)


def _stage(
    spec: EvalRunSpec, ready: Sequence[RunCandidate], owner: Owner, volume: WorkspacePlan, settings: Settings
) -> StagePlan:
    run_file = RunFile(
        stage=Stage.EVALUATE,
        run=RunIdentity(kind="EvalRun", namespace=owner.namespace, name=owner.name, uid=owner.uid),
        workspace_bytes=workspace.size_bytes(spec.workspace),
        workspace_uri=f"pvc://{volume.claim_name}",
        compute=resources.compute(spec.resources, accelerated=True),
        evaluation=EvaluationRun(
            candidates=list(ready), tasks=spec.tasks, comparison=spec.comparison, gates=spec.gates, report=owner.name
        ),
        image=settings.trainer_image,
    )
    carrier = PodPlan(
        cpu=str(spec.resources.cpu),
        memory=str(spec.resources.memory),
        extended=resources.extended(spec.resources),
        placement=scheduling.placement(spec.scheduling, spec.resources, settings, accelerated=True),
        secrets=list(dict.fromkeys([*candidates.secrets(ready), *tasks.secrets(spec.tasks)])),
        claims=list(dict.fromkeys([*candidates.claims(ready), *tasks.claims(spec.tasks)])),
        **pod.settings_of(spec.pod),
    )
    return StagePlan(Stage.EVALUATE, run_file, carrier)
