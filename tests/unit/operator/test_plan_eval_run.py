"""Rules of the plan: what an EvalRun becomes, and what it waits for."""

import pytest

from kubetune_api.finetunejob import FineTuneJob
from kubetune_operator.plan import Jobs, Plan, Refusal, plan
from unit.operator.builders import BASELINE, MODEL, SETTINGS, TASK, ago, eval_run, fine_tune_job

TUNED = {"name": "tuned", "fineTuneJob": "bot"}
BOTH = [TUNED, BASELINE]


def decide(jobs: Jobs, **spec: object) -> Plan | Refusal:
    return plan(eval_run(**({"candidates": BOTH} | spec)), SETTINGS, jobs)


def finished(*artifacts: tuple[str, str]) -> FineTuneJob:
    entries = [{"type": kind, "uri": uri, "digest": "sha256:00", "sizeBytes": 1} for kind, uri in artifacts]
    return fine_tune_job({"artifacts": entries})


def test_waits_for_a_job_that_does_not_exist() -> None:
    decided = decide({"bot": None})
    assert isinstance(decided, Plan)
    assert decided.waiting is not None
    assert decided.waiting.reason == "FineTuneJobNotFound"
    assert not decided.stages


def test_waits_for_a_job_without_a_result_yet() -> None:
    decided = decide({"bot": fine_tune_job()})
    assert isinstance(decided, Plan)
    assert decided.waiting is not None
    assert decided.waiting.reason == "WaitingForFineTuneJob"


def test_a_failed_job_refuses_the_run_and_says_why() -> None:
    failed = {
        "type": "Failed",
        "status": "True",
        "reason": "BadDataset",
        "message": "row 3",
        "lastTransitionTime": ago(1),
    }
    decided = decide({"bot": fine_tune_job({"conditions": [failed]})})
    assert isinstance(decided, Refusal)
    assert decided.reason == "CandidateFailed"
    assert "row 3" in decided.message


def test_a_job_that_succeeded_without_an_artifact_is_not_waited_for() -> None:
    succeeded = {"type": "Succeeded", "status": "True", "reason": "Completed", "lastTransitionTime": ago(1)}
    decided = decide({"bot": fine_tune_job({"conditions": [succeeded]})})
    assert isinstance(decided, Refusal)
    assert decided.reason == "CandidateFailed"
    assert "its status names no artifact" in decided.message


def test_an_adapter_goes_on_top_of_the_base_of_its_job() -> None:
    decided = decide(
        {"bot": finished(("Merged", "pvc://ws/artifacts/merged"), ("Adapter", "pvc://ws/artifacts/adapter"))}
    )
    assert isinstance(decided, Plan)
    assert decided.stages[0].run_file.evaluation is not None
    tuned = decided.stages[0].run_file.evaluation.candidates[0]
    assert (tuned.model.uri, tuned.adapter) == (MODEL["uri"], "pvc://ws/artifacts/adapter")
    assert list(decided.stages[0].pod.claims) == ["ws", "datasets"]


def test_a_merged_model_is_a_model_of_its_own() -> None:
    decided = decide({"bot": finished(("Merged", "pvc://ws/artifacts/merged"))})
    assert isinstance(decided, Plan)
    assert decided.stages[0].run_file.evaluation is not None
    tuned = decided.stages[0].run_file.evaluation.candidates[0]
    assert (tuned.model.uri, tuned.adapter) == ("pvc://ws/artifacts/merged", None)


def test_refuses_a_run_without_a_baseline() -> None:
    decided = plan(eval_run(candidates=[{"name": "a", "model": MODEL}]), SETTINGS)
    assert isinstance(decided, Refusal)
    assert "exactly one candidate must have baseline: true" in decided.message


def test_refuses_a_metric_that_the_task_cannot_have() -> None:
    decided = plan(eval_run(tasks=[TASK | {"metrics": ["Accuracy"]}]), SETTINGS)
    assert isinstance(decided, Refusal)
    assert decided.field == "spec.tasks[0].metrics"
    assert "a Generation task has no Accuracy" in decided.message


def test_refuses_a_gate_on_a_candidate_that_is_not_there() -> None:
    gate = {"name": "g", "metric": "clauses/rougeL", "improvesBy": "0.1", "candidate": "other"}
    decided = plan(eval_run(gates=[gate]), SETTINGS)
    assert isinstance(decided, Refusal)
    assert "there is no candidate 'other'; the candidates are base" in decided.message


OTHER = {"name": "other", "model": MODEL}
THIRD = {"name": "third", "model": MODEL}


@pytest.mark.parametrize(
    ("candidates", "gate", "says"),
    [
        ([OTHER], {"metric": "clauses/rougel", "atLeast": "0.1"}, "reports no 'rougel'; did you mean clauses/rougeL?"),
        ([OTHER], {"metric": "clauses/f1", "atLeast": "0.1"}, "it reports rouge1, rouge2, rougeL, rougeLsum"),
        ([], {"metric": "clauses/rougeL", "atLeast": "0.1"}, "say which of base must pass"),
        ([OTHER, THIRD], {"metric": "clauses/rougeL", "improvesBy": "0"}, "say which of base, other, third must pass"),
        ([OTHER], {"metric": "clauses/rougeL", "improvesBy": "0", "candidate": "base"}, "compared with itself"),
        ([OTHER], {"metric": "clauses/rougeL", "improvesBy": "0", "versus": "other"}, "compared with itself"),
    ],
)
def test_refuses_a_gate_that_could_only_fail_after_the_work_is_done(
    candidates: list[object], gate: dict[str, str], says: str
) -> None:
    decided = plan(eval_run(candidates=[BASELINE, *candidates], gates=[gate | {"name": "g"}]), SETTINGS)
    assert isinstance(decided, Refusal)
    assert says in decided.message


@pytest.mark.parametrize("value", ["exactMatch", "rougeL", "bleu", "chrf"])
def test_a_task_without_metrics_reports_the_usual_ones(value: str) -> None:
    task = {name: entry for name, entry in TASK.items() if name != "metrics"}
    gate = {"name": "g", "metric": f"clauses/{value}", "improvesBy": "0"}
    assert isinstance(plan(eval_run(candidates=[BASELINE, OTHER], tasks=[task], gates=[gate]), SETTINGS), Plan)


def test_refuses_an_alpha_that_is_no_rate() -> None:
    decided = plan(eval_run(comparison={"alpha": "0"}), SETTINGS)
    assert isinstance(decided, Refusal)
    assert decided.field == "spec.comparison.alpha"
