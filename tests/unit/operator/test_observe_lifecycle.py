"""A FineTuneJob from its first look to its end, step by step."""

import json

from kubetune_api import names
from kubetune_api.ftjstatus import FineTuneJobStatus
from kubetune_api.report import MARKER
from kubetune_operator.observe.reports import read_reports
from unit.operator.builders import (
    TASK,
    UID,
    ago,
    conditions,
    fine_tune_job,
    launched,
    look,
    message,
    pod,
    stage_job,
    stored,
    training,
)

EVALUATION = {"spec": {"tasks": [TASK]}}


def final(exit_code: int = 0, reason: str = "Completed", **more: object) -> str:
    report = {"type": "Final", "exitCode": exit_code, "reason": reason, "message": f"said {reason}"} | more
    return json.dumps(report)


ADAPTER = {"type": "Adapter", "uri": "pvc://ws/artifacts/adapter", "digest": "sha256:00", "sizeBytes": 5}


def test_a_new_job_is_accepted_and_prepared() -> None:
    seen = look(fine_tune_job())
    assert conditions(seen)["Accepted"] == ("True", "Accepted")
    assert conditions(seen)["Succeeded"] == ("Unknown", "Pending")
    assert launched(seen) == ("prepare", 1, 3)
    assert (seen.status.phase, seen.status.runs) == ("Preparing", 1)


def test_the_number_of_the_run_is_stored_before_the_job_is_made() -> None:
    assert look(fine_tune_job()).must_be_first
    assert not look(fine_tune_job(stored())).must_be_first


def test_a_crash_between_status_and_job_makes_the_same_job() -> None:
    assert launched(look(fine_tune_job(stored()))) == ("prepare", 1, 3)


def test_a_job_that_exists_is_not_made_again() -> None:
    assert look(fine_tune_job(stored()), jobs=[stage_job("prepare")]).actions.launch is None


def test_prepared_data_is_trained_on_and_the_stage_is_stored_first() -> None:
    report = final(dataset={"examples": 10, "digest": "sha256:aa"})
    seen = look(
        fine_tune_job(stored()),
        jobs=[stage_job("prepare", complete=True)],
        pods=[pod("prepare", exit_code=0, message=report)],
    )
    assert conditions(seen)["DataReady"] == ("True", "Prepared")
    assert seen.must_be_first
    assert launched(seen) == ("train", 1, 3)
    assert isinstance(seen.status, FineTuneJobStatus)
    assert seen.status.dataset is not None
    assert seen.status.dataset.examples == 10


def test_bad_data_ends_the_job_with_the_rows_and_no_train_job() -> None:
    report = final(65, "BadDataset", message="rows 3, 17: no assistant turn; correct them")
    seen = look(
        fine_tune_job(stored()),
        jobs=[stage_job("prepare", failed="PodFailurePolicy")],
        pods=[pod("prepare", exit_code=65, message=report)],
    )
    assert conditions(seen)["DataReady"] == ("False", "BadDataset")
    assert message(seen, "DataReady") == "rows 3, 17: no assistant turn; correct them"
    assert conditions(seen)["Succeeded"] == ("False", "BadDataset")
    assert conditions(seen)["Failed"] == ("True", "BadDataset")
    assert seen.actions.launch is None
    assert seen.status.phase == "Failed"


def test_a_finer_reason_of_the_trainer_is_kept() -> None:
    report = final(65, "LeakageFound", message="4 held-out examples are trained on")
    seen = look(
        fine_tune_job(stored()),
        jobs=[stage_job("prepare", failed="PodFailurePolicy")],
        pods=[pod("prepare", exit_code=65, message=report)],
    )
    assert conditions(seen)["DataReady"] == ("False", "LeakageFound")


def test_running_training_is_shown_with_its_node() -> None:
    seen = look(fine_tune_job(training()), jobs=[stage_job("train")], pods=[pod("train")])
    assert conditions(seen)["Running"] == ("True", "Training")
    assert conditions(seen)["Admitted"] == ("True", "Scheduled")
    assert seen.status.phase == "Training"
    assert seen.requeue_after == 30


def test_a_short_training_that_nobody_saw_running_was_admitted_all_the_same() -> None:
    ended = {"jobs": [stage_job("train")], "pods": [pod("train", exit_code=0)]}
    assert conditions(look(fine_tune_job(training()), **ended))["Admitted"] == ("True", "Scheduled")
    over = {"jobs": [stage_job("train", complete=True)], "pods": [pod("train", exit_code=0)]}
    assert conditions(look(fine_tune_job(training()), **over))["Admitted"] == ("True", "Scheduled")
    evaluated = look(fine_tune_job(training(), evaluation=EVALUATION), **over)
    assert conditions(evaluated)["Admitted"] == ("True", "Scheduled")


def test_finished_training_without_evaluation_succeeds_with_its_artifacts() -> None:
    report = final(artifacts=[ADAPTER], progress={"step": 9, "totalSteps": 9, "loss": "1.2"})
    seen = look(
        fine_tune_job(training()),
        jobs=[stage_job("train", complete=True)],
        pods=[pod("train", exit_code=0, message=report)],
    )
    assert conditions(seen)["Succeeded"] == ("True", "Completed")
    assert isinstance(seen.status, FineTuneJobStatus)
    assert seen.status.artifacts is not None
    assert seen.status.artifacts[0].uri == ADAPTER["uri"]
    assert seen.status.progress is not None
    assert seen.status.progress.summary == "9/9"
    assert seen.status.completion_time == ago(0)


def test_finished_training_with_evaluation_names_the_eval_run_first() -> None:
    seen = look(
        fine_tune_job(training(), evaluation=EVALUATION),
        jobs=[stage_job("train", complete=True)],
        pods=[pod("train", exit_code=0, message=final(artifacts=[ADAPTER]))],
    )
    assert isinstance(seen.status, FineTuneJobStatus)
    assert seen.status.evaluation == names.evaluation_name("bot", UID)
    assert seen.must_be_first
    assert seen.actions.create_evaluation
    assert conditions(seen)["Succeeded"] == ("Unknown", "Pending")
    assert seen.status.phase == "Evaluating"


def test_nothing_of_a_finished_job_is_made_again_when_its_children_are_gone() -> None:
    over = {"type": "Succeeded", "status": "True", "reason": "Completed", "lastTransitionTime": ago(50)}
    status = training()
    status["conditions"].append(over)
    seen = look(fine_tune_job(status, evaluation=EVALUATION))
    assert seen.actions.launch is None
    assert not seen.actions.create_evaluation
    assert seen.status.conditions == fine_tune_job(status).status.conditions  # type: ignore[union-attr]


def test_a_refused_job_is_over_and_says_where_it_is_wrong() -> None:
    seen = look(fine_tune_job(method={"objective": "GRPO"}))
    assert conditions(seen)["Accepted"] == ("False", "NotSupportedYet")
    assert conditions(seen)["Failed"] == ("True", "NotSupportedYet")
    assert message(seen, "Accepted").startswith("spec.method.objective: GRPO is not supported yet")
    assert seen.actions.launch is None


def test_what_was_accepted_is_not_refused_by_a_later_operator() -> None:
    seen = look(fine_tune_job(training(), method={"objective": "GRPO"}), jobs=[stage_job("train")], pods=[pod("train")])
    assert conditions(seen)["Accepted"] == ("True", "Accepted")
    assert conditions(seen)["Running"] == ("True", "Training")


def test_every_condition_carries_the_generation_and_keeps_its_transition_time() -> None:
    first = look(fine_tune_job())
    again = look(fine_tune_job(first.status.dump()), jobs=[stage_job("prepare")])
    assert {entry.observed_generation for entry in again.status.conditions} == {1}
    assert [entry.type for entry in again.status.conditions] == [entry.type for entry in first.status.conditions]


def test_ttl_deletes_the_object_when_it_is_due_and_not_before() -> None:
    over = [{"type": "Succeeded", "status": "True", "reason": "Completed", "lastTransitionTime": ago(100)}]
    status = stored(conditions=over, completionTime=ago(100))
    assert look(fine_tune_job(status, ttlSecondsAfterFinished=60)).actions.delete_subject
    later = look(fine_tune_job(status, ttlSecondsAfterFinished=160))
    assert not later.actions.delete_subject
    assert later.requeue_after == 60


def test_the_loss_of_the_last_step_is_told_beside_the_mean() -> None:
    line = {"step": 4, "totalSteps": 9, "loss": "1.25", "stepLoss": "1.23456789", "tokensPerSecond": 10}
    told = read_reports([f"{MARKER} {json.dumps({'type': 'Progress', 'progress': line})}"], None)
    running = pod("train")
    seen = look(
        fine_tune_job(training()),
        jobs=[stage_job("train")],
        pods=[running],
        reports={running["metadata"]["name"]: told},
    )
    progress = seen.status.dump()["progress"]
    assert (progress["loss"], progress["stepLoss"], progress["summary"]) == ("1.25", "1.23456789", "4/9")


def test_an_attempt_whose_pod_is_gone_was_done_when_its_job_is_complete() -> None:
    name = pod("train")["metadata"]["name"]
    status = training(attempts=[{"number": 1, "stage": "train", "pod": name, "started": ago(50)}])
    seen = look(fine_tune_job(status), jobs=[stage_job("train", complete=True)])
    assert seen.status.attempts is not None
    (attempt,) = seen.status.attempts
    assert (attempt.exit_code, attempt.reason, attempt.ended) == (0, "Completed", ago(0))
    assert seen.status.disruptions is None
    lost = look(fine_tune_job(status), jobs=[stage_job("train")])
    assert lost.status.attempts is not None
    assert (lost.status.attempts[0].exit_code, lost.status.attempts[0].reason) == (None, "Lost")
