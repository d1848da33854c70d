"""No field is silently ignored: each one changes a child, is acted on by the operator itself, or is refused."""

from typing import Any

import pytest

from kubetune_api.evalrun import EvalRunSpec
from kubetune_api.finetunejob import FineTuneJobSpec
from kubetune_operator.observe import observe
from kubetune_operator.plan import Refusal, parse
from kubetune_operator.render import render
from unit.operator.builders import (
    BASELINE,
    DATASET,
    MODEL,
    NOW,
    SETTINGS,
    TASK,
    ago,
    eval_run_manifest,
    job_manifest,
    pod,
    snapshot,
    stage_job,
    stored,
    training,
)
from unit.operator.variants import Spec, variants

Manifest = dict[str, Any]

_TASK = {name: value for name, value in TASK.items() if name != "metrics"}
_JOB = {
    "model": MODEL,
    "dataset": DATASET,
    "evaluation": {"spec": {"tasks": [_TASK], "candidates": [{"name": "other", "model": MODEL}]}},
}
#: A job of several nodes in a queue, where what is refused for a job on one node is acted on.
_GANG = _JOB | {
    "resources": {"nodes": 2},
    "scheduling": {"queueName": "team-a", "topology": {"key": "rack"}},
    "workspace": {"claimName": "mine"},
    "pod": {"volumes": [{"mountPath": "/mnt/cache", "claimName": "cache"}], "env": [{"name": "NCCL_DEBUG"}]},
}
_GANG_FIELDS = ("spec.resources.", "spec.scheduling.", "spec.pod.")
_RUN = {"candidates": [BASELINE, {"name": "other", "model": MODEL}], "tasks": [_TASK]}


def _cases(model: Any, base: Spec) -> list[Any]:
    found = enumerate(variants(model, model.model_validate(base).dump()))
    return [pytest.param(path, spec, id=f"{path}#{index}") for index, (path, spec) in found]


@pytest.mark.parametrize(("path", "spec"), _cases(FineTuneJobSpec, _JOB))
def test_every_field_of_a_job_is_acted_on_or_refused(path: str, spec: Spec) -> None:
    base = FineTuneJobSpec.model_validate(_JOB).dump()
    assert _acted_on(path, job_manifest(**base), job_manifest(**spec))


@pytest.mark.parametrize(
    ("path", "spec"), [case for case in _cases(FineTuneJobSpec, _GANG) if str(case.values[0]).startswith(_GANG_FIELDS)]
)
def test_every_field_of_the_pods_of_a_job_of_several_nodes_is_acted_on_or_refused(path: str, spec: Spec) -> None:
    base = FineTuneJobSpec.model_validate(_GANG).dump()
    assert _acted_on(path, job_manifest(**base), job_manifest(**spec))


@pytest.mark.parametrize(("path", "spec"), _cases(EvalRunSpec, _RUN))
def test_every_field_of_an_evaluation_is_acted_on_or_refused(path: str, spec: Spec) -> None:
    base = EvalRunSpec.model_validate(_RUN).dump()
    assert _acted_on(path, eval_run_manifest(**base), eval_run_manifest(**spec))


def _acted_on(path: str, base: Manifest, changed: Manifest) -> bool:
    before, after = render(base, SETTINGS), render(changed, SETTINGS)
    assert not isinstance(before, Refusal), before.message
    if isinstance(after, Refusal):
        return any(path.startswith(part.field) for part in after.parts or [after])
    return before != after or _seen(base) != _seen(changed)


def _seen(manifest: Manifest) -> list[object]:
    """Return what the operator itself does about an object that runs for days, and about one that ended long ago."""
    stage = "prepare" if manifest["kind"] == "FineTuneJob" else "evaluate"
    ended = [{"type": "Succeeded", "status": "True", "reason": "Completed", "lastTransitionTime": ago(90)}]
    outcomes: list[object] = []
    for status in (stored(), stored(conditions=ended, completionTime=ago(86400 * 30))):
        subject = parse(manifest | {"status": status})
        assert not isinstance(subject, Refusal)
        running = pod(stage, started=6 * 3600)
        outcomes.append(observe(snapshot(subject, jobs=[stage_job(stage)], pods=[running]), NOW))
    if manifest["kind"] == "FineTuneJob":
        subject = parse(manifest | {"status": training(acceleratorSeconds=10 * 3600)})
        assert not isinstance(subject, Refusal)
        outcomes.append(observe(snapshot(subject, jobs=[stage_job("train")], pods=[pod("train")]), NOW))
    return outcomes


def test_the_walk_reaches_deep_fields() -> None:
    paths = {path for path, _ in variants(FineTuneJobSpec, FineTuneJobSpec.model_validate(_JOB).dump())}
    assert {
        "spec.suspend",
        "spec.training.checkpoints.everySteps",
        "spec.scheduling.tolerations[0].tolerationSeconds",
        "spec.evaluation.spec.tasks[0].dataset.columns.group",
        "spec.tracking.mlflow.credentialsSecret.name",
    } <= paths
    assert len(paths) > 150
