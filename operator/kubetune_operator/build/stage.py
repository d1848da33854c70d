"""A stage of a plan -> its children, in the order in which they are made: what a pod mounts comes before its Job."""

from kubetune_api import names

from ..plan.plan import Plan, StagePlan
from ..settings import Settings
from .claim import workspace_claim
from .config_map import run_file_map
from .job import stage_job
from .metadata import Manifest


def stage_children(plan: Plan, stage_plan: StagePlan, run: int, retries: int, settings: Settings) -> list[Manifest]:
    """Return the manifests of one run of a stage.

    Args:
        plan: The plan that the stage belongs to.
        stage_plan: The stage.
        run: Number of the run, from 1; each resume is a new one, under a name of its own.
        retries: Failed attempts that the Job may still follow with another.
        settings: Image, command and environment of the pods, among others.
    """
    name = names.stage_name(plan.owner.name, plan.owner.uid, stage_plan.stage, run)
    claim = [workspace_claim(plan.owner, plan.workspace)] if plan.workspace.owned else []
    return [
        *claim,
        run_file_map(plan.owner, stage_plan, run, name),
        stage_job(plan, stage_plan, run, retries, name, settings),
    ]
