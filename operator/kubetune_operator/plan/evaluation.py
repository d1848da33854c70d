"""`spec.evaluation`: the EvalRun that a job owns, with the implied candidates `tuned` and `base`."""

import re
from collections.abc import Iterator

from kubetune_api.evalrun import Candidate, EvalRunSpec, JobEvaluationSpec
from kubetune_api.finetunejob import FineTuneJobSpec
from kubetune_api.resources import Workspace

from ..settings import Settings
from . import candidates, gates, resources, tasks
from .plan import Refusal, bad

TUNED = "tuned"
BASE = "base"
IMPLIED = 2
"""Candidates that stand before those of the job."""


def refuse(evaluation: JobEvaluationSpec, spec: FineTuneJobSpec, settings: Settings) -> Iterator[Refusal]:
    """Refuse now what would make the EvalRun fail after hours of training."""
    taken = [candidate.name for candidate in evaluation.candidates if candidate.name in (TUNED, BASE)]
    if taken:
        problem = f"{', '.join(taken)} is implied by the job itself; choose another name"
        yield bad("spec.evaluation.spec.candidates", problem)
    run = eval_run_spec(evaluation, spec, job_name="job", claim_name="claim")
    for refusal in refuse_run(run, settings):
        if (field := _field_of_job(refusal.field)) is not None:
            yield Refusal(refusal.reason, field, refusal.message.replace(refusal.field, field, 1))


def _field_of_job(field: str) -> str | None:
    """Return where a field of the owned run stands in the job; None for one of an implied candidate (spec.model)."""
    number = re.match(r"spec\.candidates\[(\d+)\]", field)
    if number is not None:
        own = int(number[1]) - IMPLIED
        field = field.replace(number[0], f"spec.candidates[{own}]", 1) if own >= 0 else ""
    return field.replace("spec.", "spec.evaluation.spec.", 1) or None


def refuse_run(run: EvalRunSpec, settings: Settings) -> Iterator[Refusal]:
    """Refuse an evaluation that cannot run or cannot be judged."""
    yield from candidates.refuse(run.candidates, settings)
    yield from tasks.refuse(run.tasks, settings)
    yield from gates.refuse(run.gates, run.tasks, run.candidates)
    yield from gates.refuse_comparison(run.comparison)
    yield from resources.refuse("spec.resources", run.resources)


def eval_run_spec(
    evaluation: JobEvaluationSpec, spec: FineTuneJobSpec, *, job_name: str, claim_name: str
) -> EvalRunSpec:
    """Return the spec of the owned EvalRun; it works in the job's own workspace, where the model is cached."""
    own_baseline = any(candidate.baseline for candidate in evaluation.candidates)
    implied = [
        Candidate(name=TUNED, fine_tune_job=job_name),
        Candidate(name=BASE, baseline=not own_baseline, model=spec.model),
    ]
    return EvalRunSpec(
        candidates=[*implied, *evaluation.candidates],
        tasks=evaluation.tasks,
        comparison=evaluation.comparison,
        gates=evaluation.gates,
        approval=evaluation.approval,
        max_runtime=evaluation.max_runtime,
        retries=evaluation.retries,
        resources=evaluation.resources or spec.resources.model_copy(update={"nodes": 1}),
        scheduling=spec.scheduling.model_copy(update={"topology": None}),
        pod=spec.pod,
        workspace=Workspace(claim_name=claim_name, size=spec.workspace.size),
    )
