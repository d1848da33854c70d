"""A stage of a plan -> its children, in the order in which they are made: what a pod mounts comes before its Job."""

from dataclasses import replace

from kubetune_api import names
from kubetune_api.run import Adjustments

from ..plan.launch import Launch
from ..plan.plan import Plan, StagePlan
from ..settings import Settings
from .avoid import avoiding
from .claim import workspace_claim
from .gang import nodes_of, rendezvous
from .job import stage_job
from .metadata import Manifest
from .run_file import run_file_maps
from .service import headless_service


def stage_children(plan: Plan, launch: Launch, settings: Settings) -> list[Manifest]:
    """Return the manifests of one run of a stage.

    Args:
        plan: The plan that the stage belongs to.
        launch: Which run of which stage, and what the operator changed because of what befell the ones before.
        settings: Image, command and environment of the pods, among others.
    """
    owner, run = plan.owner, launch.run
    name = names.stage_name(owner.name, owner.uid, launch.stage, run)
    stage_plan = _adjusted(plan, launch, name)
    claim = [workspace_claim(owner, plan.workspace)] if plan.workspace.owned else []
    meeting = [headless_service(owner, stage_plan, run, name)] if nodes_of(stage_plan) > 1 else []
    return [
        *claim,
        *run_file_maps(owner, stage_plan, run, name),
        *meeting,
        stage_job(plan, stage_plan, run, launch.retries, name, settings),
    ]


def _adjusted(plan: Plan, launch: Launch, name: str) -> StagePlan:
    """Return the stage as this run does it."""
    stage_plan = plan.stage(launch.stage)
    run_file = stage_plan.run_file.model_copy(
        update={
            "epoch": launch.epoch,
            "rendezvous": rendezvous(plan.owner, stage_plan, launch.run, name),
            "adjustments": Adjustments(micro_batch_divisor=launch.micro_batch_divisor),
        }
    )
    placement = avoiding(stage_plan.pod.placement, launch.avoided_nodes)
    return replace(stage_plan, run_file=run_file, pod=replace(stage_plan.pod, placement=placement))
