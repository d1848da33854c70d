"""What a manifest becomes, without a cluster: the functions that the operator itself runs, for `kubetune plan`."""

from collections.abc import Mapping
from typing import Any

from kubetune_api import names
from kubetune_api.conditions import Artifact
from kubetune_api.finetunejob import FineTuneJob
from kubetune_api.ftjstatus import FineTuneJobStatus
from kubetune_api.kind import ObjectMeta
from kubetune_api.model import ModelSource
from kubetune_api.run import Layout

from . import build
from .plan import EvalRun, Plan, Refusal, Subject, parse, plan
from .plan.candidates import awaited
from .plan.launch import Launch
from .plan.owner import RENDERED_UID
from .settings import Settings

Manifest = dict[str, Any]


def render(subject: Subject | Mapping[str, Any], settings: Settings) -> list[Manifest] | Refusal:
    """Return every child of an object in the order of their making, or why it is refused.

    Results of FineTuneJobs that an EvalRun names are assumed at the places where they would be.
    """
    parsed = parse(subject) if isinstance(subject, Mapping) else subject
    if isinstance(parsed, Refusal):
        return parsed
    decided = plan(parsed, settings, _assumed_jobs(parsed))
    return decided if isinstance(decided, Refusal) else children(decided, settings)


def children(decided: Plan, settings: Settings) -> list[Manifest]:
    """Return every child of a plan: those of each stage, then the evaluation."""
    found: list[Manifest] = []
    for epoch, stage in enumerate(decided.stages, 1):
        launch = Launch(stage.stage, 1, decided.retries, epoch)
        found += [child for child in build.stage_children(decided, launch, settings) if child not in found]
    if decided.evaluation is not None:
        found.append(build.eval_run(decided, decided.evaluation))
    return found


def _assumed_jobs(subject: Subject) -> dict[str, FineTuneJob | None]:
    if not isinstance(subject, EvalRun):
        return {}
    base = next((candidate.model for candidate in subject.spec.candidates if candidate.model), None)
    model = base or ModelSource(uri="hf://base-of-the-job/unknown")
    return {name: _assumed_job(name, model) for name in awaited(subject.spec.candidates)}


def _assumed_job(name: str, model: ModelSource) -> FineTuneJob:
    place = f"pvc://{names.workspace_name(name, RENDERED_UID)}/{Layout.ARTIFACTS}/adapter"
    artifact = Artifact(type="Adapter", uri=place, digest="sha256:unknown", size_bytes=0)
    spec = {"model": model, "dataset": {"train": [{"uri": "hf://dataset-of-the-job/unknown"}]}}
    return FineTuneJob.model_validate(
        {"metadata": ObjectMeta(name=name), "spec": spec, "status": FineTuneJobStatus(artifacts=[artifact])}
    )
