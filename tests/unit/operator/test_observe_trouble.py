"""Failures, retries, limits and disruptions."""

from typing import Any

import pytest

from kubetune_api import names
from kubetune_operator.observe import ApplyFailure, Observation, Tuning
from unit.operator.builders import (
    UID,
    ago,
    conditions,
    fine_tune_job,
    launched,
    look,
    message,
    pod,
    stage_job,
    training,
)

DISRUPTED = [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]


def attempt(number: int, exit_code: int | None = 70, **more: Any) -> dict[str, Any]:
    entry = {"number": number, "stage": "train", "pod": f"pod-{number}", "started": ago(500), "ended": ago(400)}
    return entry | {"exitCode": exit_code, "reason": "InternalError", "message": "it broke"} | more


def failed(code: int, *, job: str = "BackoffLimitExceeded", **more: Any) -> Observation:
    return look(
        fine_tune_job(training(), retries=0),
        jobs=[stage_job("train", failed=job)],
        pods=[pod("train", exit_code=code, **more)],
    )


@pytest.mark.parametrize(
    ("code", "reason", "remedy"),
    [
        (64, "BadSpec", "correct the spec"),
        (66, "ModelUnavailable", "credentialsSecret"),
        (76, "Stalled", "accelerators"),
        (77, "DiskFull", "workspace.size"),
        (78, "Diverged", "learningRate"),
    ],
)
def test_each_exit_code_has_its_reason_and_remedy(code: int, reason: str, remedy: str) -> None:
    seen = failed(code, job="PodFailurePolicy", message="last words")
    assert conditions(seen)["Succeeded"] == ("False", reason)
    assert remedy in message(seen, "Succeeded")
    assert "last words" in message(seen, "Succeeded")


def test_out_of_memory_says_what_to_raise() -> None:
    entry = pod("train", exit_code=137)
    entry["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] = "OOMKilled"
    seen = look(
        fine_tune_job(training(), retries=0), jobs=[stage_job("train", failed="BackoffLimitExceeded")], pods=[entry]
    )
    assert conditions(seen)["Succeeded"] == ("False", "OutOfMemory")
    assert "raise resources.memory" in message(seen, "Succeeded")


def test_the_last_line_of_a_traceback_is_what_people_read() -> None:
    seen = failed(70, message="Traceback\n  File x\nRuntimeError: boom\n")
    assert "RuntimeError: boom" in message(seen, "Succeeded")
    assert "Traceback" not in message(seen, "Succeeded")


def test_exhausted_retries_are_told_with_the_last_failure() -> None:
    status = training(attempts=[attempt(1), attempt(2)], failures=2)
    seen = look(
        fine_tune_job(status, retries=2),
        jobs=[stage_job("train", failed="BackoffLimitExceeded")],
        pods=[pod("train", exit_code=70, message="boom")],
    )
    assert conditions(seen)["Succeeded"] == ("False", "RetriesExhausted")
    assert "3 attempts failed, 2 retries are allowed" in message(seen, "Succeeded")


def test_a_failed_attempt_does_not_fail_the_job_while_another_follows() -> None:
    seen = look(fine_tune_job(training()), jobs=[stage_job("train")], pods=[pod("train", exit_code=70)])
    assert conditions(seen)["Succeeded"] == ("Unknown", "Pending")
    assert conditions(seen)["Progressing"] == ("True", "Training")
    assert message(seen, "Progressing") == "attempt 1 ended: InternalError; the next one is on its way"


def test_a_single_retry_is_told_in_the_singular() -> None:
    seen = look(
        fine_tune_job(training(attempts=[attempt(1)], failures=1), retries=1),
        jobs=[stage_job("train", failed="BackoffLimitExceeded")],
        pods=[pod("train", exit_code=70, message="boom")],
    )
    assert "2 attempts failed, 1 retry is allowed" in message(seen, "Succeeded")


def test_pods_that_a_node_turned_away_use_up_the_retries_as_well() -> None:
    turned_away = pod("train", started=None, phase="Failed", reason="UnexpectedAdmissionError", message="no devices")
    turned_away["status"]["message"] = "Allocate failed: no healthy devices"
    seen = look(
        fine_tune_job(training(), retries=2),
        jobs=[stage_job("train", failed="BackoffLimitExceeded", retries=2)],
        pods=[turned_away],
    )
    assert seen.actions.launch is None
    assert conditions(seen)["Succeeded"] == ("False", "RetriesExhausted")
    assert "no healthy devices" in message(seen, "Succeeded")


def test_more_retries_than_attempts_are_listed_come_to_an_end() -> None:
    status = training(attempts=[attempt(number) for number in range(12, 22)])
    seen = look(fine_tune_job(status, retries=20), jobs=[stage_job("train", failed="BackoffLimitExceeded", retries=20)])
    assert seen.actions.launch is None
    assert conditions(seen)["Succeeded"] == ("False", "RetriesExhausted")


def test_raised_retries_let_a_failed_job_run_again() -> None:
    seen = look(
        fine_tune_job(training(), retries=5),
        jobs=[stage_job("train", failed="BackoffLimitExceeded")],
        pods=[pod("train", exit_code=70)],
    )
    assert launched(seen) == ("train", 2, 4)
    assert seen.status.runs == 2


def test_lowered_retries_end_a_run_whose_next_attempt_has_begun() -> None:
    status = training(attempts=[attempt(1), attempt(2)], failures=2)
    seen = look(fine_tune_job(status, retries=1), jobs=[stage_job("train")], pods=[pod("train")])
    assert conditions(seen)["Succeeded"] == ("False", "RetriesExhausted")
    assert len(seen.actions.stop_jobs) == 1


def test_disruption_costs_no_retry_and_is_bounded() -> None:
    entry = pod("train", exit_code=137, conditions=DISRUPTED)
    within = look(fine_tune_job(training(), retries=0), jobs=[stage_job("train")], pods=[entry])
    assert conditions(within)["Succeeded"] == ("Unknown", "Pending")
    assert within.status.attempts is not None
    assert within.status.attempts[0].reason == "EvictionByEvictionAPI"
    beyond = look(
        fine_tune_job(training(), retries=0), jobs=[stage_job("train")], pods=[entry], tuning=Tuning(max_disruptions=0)
    )
    assert conditions(beyond)["Succeeded"] == ("False", "TooManyDisruptions")


def test_a_run_may_be_suspended_as_often_as_people_like() -> None:
    stopped = pod("train", exit_code=75)
    asked = look(fine_tune_job(training(disruptions=50), suspend=True), jobs=[stage_job("train")], pods=[stopped])
    assert conditions(asked)["Succeeded"][0] == "Unknown"
    assert asked.status.disruptions == 50
    by_itself = look(fine_tune_job(training(disruptions=50)), jobs=[stage_job("train")], pods=[stopped])
    assert conditions(by_itself)["Succeeded"] == ("False", "TooManyDisruptions")


def test_a_run_out_of_time_says_how_to_go_on() -> None:
    seen = look(fine_tune_job(training(activeSeconds=3700), maxRuntime="1h"), jobs=[stage_job("train")])
    assert f"workspace.claimName: {names.workspace_name('bot', UID)}" in message(seen, "Succeeded")


def test_active_time_counts_over_runs_and_waiting_does_not() -> None:
    status = training(activeSeconds=3000, attempts=[attempt(1, 75, reason="Checkpointed")])
    running = {"jobs": [stage_job("train", 1)], "pods": [pod("train", started=700)]}
    assert conditions(look(fine_tune_job(status, maxRuntime="1h2m"), **running))["Running"] == ("True", "Training")
    seen = look(fine_tune_job(status, maxRuntime="1h"), **running)
    assert conditions(seen)["Succeeded"] == ("False", "DeadlineExceeded")
    assert len(seen.actions.stop_jobs) == 1


def test_the_next_look_comes_no_later_than_the_deadline() -> None:
    status = training(activeSeconds=3000)
    seen = look(fine_tune_job(status, maxRuntime="3110s"), jobs=[stage_job("train")], pods=[pod("train", started=100)])
    assert seen.requeue_after == 11


def test_an_attempt_is_counted_once_however_often_it_is_seen() -> None:
    entry = pod("train", exit_code=70, started=110, ended=10)
    first = look(fine_tune_job(training()), jobs=[stage_job("train")], pods=[entry])
    second = look(fine_tune_job(first.status.dump()), jobs=[stage_job("train")], pods=[entry])
    assert first.status.active_seconds == 100
    assert second.status == first.status


def test_only_the_last_ten_attempts_are_kept_and_older_pods_are_not_counted_again() -> None:
    attempts = [attempt(number, 75, reason="Checkpointed") for number in range(4, 14)]
    seen = look(
        fine_tune_job(training(attempts=attempts, activeSeconds=77)),
        jobs=[stage_job("train")],
        pods=[pod("train", name="pod-1", exit_code=75, started=9000, ended=8000), pod("train", started=20)],
    )
    assert seen.status.attempts is not None
    assert [entry.number for entry in seen.status.attempts] == list(range(5, 15))
    assert seen.status.active_seconds == 77


def test_a_pod_that_vanished_is_an_attempt_that_ended() -> None:
    open_attempt = attempt(1, None, ended=None, reason=None, message=None, started=ago(50))
    seen = look(fine_tune_job(training(attempts=[open_attempt])), jobs=[stage_job("train")])
    assert seen.status.attempts is not None
    assert seen.status.attempts[0].reason == "Lost"
    assert seen.status.active_seconds == 50


def test_a_job_deleted_by_somebody_is_made_again_once_its_pods_ended() -> None:
    waits = look(fine_tune_job(training()), pods=[pod("train")])
    assert waits.actions.launch is None
    assert "of an earlier run to end" in message(waits, "Progressing")
    assert launched(look(fine_tune_job(training()))) == ("train", 1, 3)


def test_a_name_conflict_is_shown_and_nothing_adopted() -> None:
    failure = ApplyFailure("NameConflict", "Job x exists and belongs to another")
    seen = look(fine_tune_job(training()), failures=[failure])
    assert conditions(seen)["Progressing"] == ("False", "NameConflict")
    assert seen.actions.launch is not None
    assert seen.requeue_after == 15


def test_children_carry_the_uid_of_their_owner() -> None:
    assert look(fine_tune_job()).actions.launch is not None
    assert fine_tune_job().metadata.model_extra == {"uid": UID, "generation": 1, "resourceVersion": "7"}


def test_a_credential_is_taken_out_before_a_message_is_cut() -> None:
    said = "x" * 1480 + " https://me:hunter2hunter2@host/d"
    seen = look(fine_tune_job(), failures=[ApplyFailure("Rejected", said)])
    assert message(seen, "Progressing").startswith("xxx")
    assert "me:hu" not in message(seen, "Progressing")
