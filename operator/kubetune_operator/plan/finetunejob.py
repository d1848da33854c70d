"""FineTuneJob + settings -> Plan | Refusal: prepare on the CPU, train on the accelerators, then the evaluation."""

from collections.abc import Iterator

from kubetune_api.fields import duration_seconds
from kubetune_api.finetunejob import FineTuneJob, FineTuneJobSpec
from kubetune_api.run import RunFile, RunIdentity, Stage

from ..settings import Settings
from . import (
    dataset,
    evaluation,
    max_accelerator_hours,
    max_runtime,
    method,
    model,
    output,
    pod,
    resources,
    scheduling,
    training,
    unsupported,
    uris,
    workspace,
)
from .owner import owner_of
from .plan import Owner, Plan, PodPlan, Refusal, StagePlan, WorkspacePlan


def plan_fine_tune_job(job: FineTuneJob, settings: Settings) -> Plan | Refusal:
    """Return the stages of a job, or every mistake in its spec."""
    refusals = list(_refusals(job.spec, settings))
    if refusals:
        return Refusal.combine(refusals)
    owner = owner_of(job)
    volume = workspace.plan(job.spec.workspace, owner, settings)
    follow_up = None
    if job.spec.evaluation is not None:
        follow_up = evaluation.eval_run_spec(
            job.spec.evaluation.spec, job.spec, job_name=owner.name, claim_name=volume.claim_name
        )
    return Plan(
        owner=owner,
        stages=[_stage(stage, job.spec, owner, volume, settings) for stage in (Stage.PREPARE, Stage.TRAIN)],
        workspace=volume,
        retries=job.spec.retries,
        max_runtime_seconds=duration_seconds(job.spec.max_runtime),
        evaluation=follow_up,
        max_accelerator_seconds=max_accelerator_hours.seconds(job.spec.max_accelerator_hours),
    )


def _refusals(spec: FineTuneJobSpec, settings: Settings) -> Iterator[Refusal]:
    yield from unsupported.refuse(spec.dump(), unsupported.FINETUNE_JOB + unsupported.JOB_EVALUATION)
    yield from model.refuse("spec.model", spec.model, settings)
    yield from dataset.refuse(spec.dataset, settings)
    yield from method.refuse(spec.method, spec.dataset)
    yield from training.refuse(spec.training)
    yield from resources.refuse("spec.resources", spec.resources)
    yield from scheduling.refuse(spec.scheduling, spec.resources.nodes)
    yield from pod.refuse(spec.pod, settings)
    yield from workspace.refuse(spec.workspace)
    yield from workspace.refuse_nodes(spec.workspace, spec.resources.nodes, settings)
    yield from output.refuse(spec.output, spec.method)
    yield from max_runtime.refuse(spec.max_runtime)
    yield from max_accelerator_hours.refuse(spec.max_accelerator_hours)
    if spec.evaluation is not None:
        yield from evaluation.refuse(spec.evaluation.spec, spec, settings)


def _stage(stage: Stage, spec: FineTuneJobSpec, owner: Owner, volume: WorkspacePlan, settings: Settings) -> StagePlan:
    accelerated = stage is Stage.TRAIN
    run_file = RunFile(
        stage=stage,
        run=RunIdentity(kind="FineTuneJob", namespace=owner.namespace, name=owner.name, uid=owner.uid),
        workspace_bytes=workspace.size_bytes(spec.workspace),
        workspace_uri=f"pvc://{volume.claim_name}",
        compute=resources.compute(spec.resources, accelerated=accelerated),
        model=spec.model,
        dataset=spec.dataset,
        method=spec.method,
        training=spec.training,
        output=spec.output,
        tracking=spec.tracking,
        image=settings.trainer_image,
    )
    model_claims = [claim for claim in [uris.claim_of(spec.model.uri)] if claim]
    carrier = PodPlan(
        cpu=str(spec.resources.cpu),
        memory=str(spec.resources.memory),
        extended=resources.extended(spec.resources) if accelerated else {},
        placement=scheduling.placement(spec.scheduling, spec.resources, settings, accelerated=accelerated),
        secrets=_unique([*model.secrets(spec.model), *dataset.secrets(spec.dataset)]),
        claims=_unique([*model_claims, *dataset.claims(spec.dataset)]),
        **pod.settings_of(spec.pod),
    )
    return StagePlan(stage, run_file, carrier)


def _unique(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))
