"""Suspend and resume."""

import pytest

from unit.operator.builders import (
    BASELINE,
    ago,
    conditions,
    eval_run,
    fine_tune_job,
    launched,
    look,
    pod,
    stage_job,
    stored,
    training,
)


def suspended_status(runs: int = 1) -> dict[str, object]:
    status = training(runs=runs)
    entry = {"type": "Running", "status": "False", "reason": "Suspended", "lastTransitionTime": ago(60)}
    status["conditions"].append(entry)
    return status


def test_suspend_stops_the_job_and_keeps_everything_else() -> None:
    seen = look(fine_tune_job(training(), suspend=True), jobs=[stage_job("train")], pods=[pod("train")])
    assert len(seen.actions.stop_jobs) == 1
    assert conditions(seen)["Running"] == ("False", "Suspended")
    assert conditions(seen)["Succeeded"] == ("Unknown", "Pending")
    assert seen.status.phase == "Suspended"


def test_a_suspended_job_is_left_alone() -> None:
    seen = look(fine_tune_job(suspended_status(), suspend=True))
    assert not seen.actions.stop_jobs
    assert seen.actions.launch is None
    assert conditions(seen)["Progressing"] == ("False", "Suspended")


def test_resume_is_a_new_run_whose_number_is_stored_first() -> None:
    seen = look(fine_tune_job(suspended_status()))
    assert launched(seen) == ("train", 2, 3)
    assert seen.status.runs == 2
    assert seen.must_be_first


def test_a_crash_after_the_number_was_stored_makes_that_run_and_no_other() -> None:
    resumed = look(fine_tune_job(suspended_status()))
    again = look(fine_tune_job(resumed.status.dump()))
    assert launched(again) == ("train", 2, 3)
    assert again.status.runs == 2


def test_resume_waits_until_the_old_pod_has_written_its_checkpoint() -> None:
    seen = look(fine_tune_job(suspended_status()), pods=[pod("train")])
    assert seen.actions.launch is None
    assert seen.status.runs == 1


def test_a_job_created_suspended_makes_nothing() -> None:
    seen = look(fine_tune_job(suspend=True))
    assert seen.actions.launch is None
    assert seen.status.runs is None
    assert conditions(seen)["Accepted"] == ("True", "Accepted")


def test_a_job_that_finished_while_it_was_being_suspended_is_finished() -> None:
    seen = look(
        fine_tune_job(training(), suspend=True),
        jobs=[stage_job("train", complete=True)],
        pods=[pod("train", exit_code=0)],
    )
    assert conditions(seen)["Succeeded"] == ("True", "Completed")


def test_data_prepared_while_suspended_is_trained_on_after_resume() -> None:
    status = training(runs=None)
    seen = look(fine_tune_job(status))
    assert launched(seen) == ("train", 1, 3)


@pytest.mark.parametrize("code", [137, 143, 70])
def test_a_pod_that_suspension_killed_costs_no_retry(code: int) -> None:
    killed = pod("prepare", exit_code=code)
    killed["metadata"]["deletionTimestamp"] = ago(20)
    seen = look(fine_tune_job(stored(), suspend=True, retries=0), pods=[killed])
    assert seen.status.attempts is not None
    assert seen.status.attempts[0].reason == "Suspended"
    resumed = look(fine_tune_job(seen.status.dump(), retries=0))
    running = look(
        fine_tune_job(resumed.status.dump(), retries=0),
        jobs=[stage_job("prepare", 2)],
        pods=[pod("prepare", 2, started=5)],
    )
    assert conditions(running)["Running"] == ("True", "Preparing")


def test_a_deleted_pod_that_was_killed_before_it_was_done_did_not_fail_by_itself() -> None:
    killed = pod("prepare", exit_code=137)
    killed["metadata"]["deletionTimestamp"] = ago(20)
    seen = look(fine_tune_job(stored()), jobs=[stage_job("prepare")], pods=[killed])
    assert seen.status.attempts is not None
    assert seen.status.attempts[0].reason == "Deleted"
    assert (seen.status.failures, seen.status.disruptions) == (None, 1)


def test_a_resumed_evaluation_waits_for_a_job_that_was_deleted_meanwhile() -> None:
    entry = {"type": "Running", "status": "False", "reason": "Suspended", "lastTransitionTime": ago(60)}
    status = stored()
    status["conditions"].append(entry)
    run = eval_run(status, candidates=[{"name": "tuned", "fineTuneJob": "bot"}, BASELINE])
    seen = look(run, candidates={"bot": None})
    assert seen.actions.launch is None
    assert conditions(seen)["Progressing"] == ("False", "FineTuneJobNotFound")


def test_that_it_is_suspended_is_stored_before_the_job_is_stopped() -> None:
    seen = look(fine_tune_job(training(), suspend=True), jobs=[stage_job("train")], pods=[pod("train")])
    assert seen.actions.stop_jobs
    assert seen.must_be_first
    stopped = look(fine_tune_job(seen.status.dump(), suspend=True), pods=[pod("train")])
    assert not stopped.actions.stop_jobs, "it is stopped once"
    assert not stopped.must_be_first


def test_a_resume_during_the_stopping_takes_a_number_of_its_own_once_the_pod_has_ended() -> None:
    suspended = look(fine_tune_job(training(), suspend=True), jobs=[stage_job("train")], pods=[pod("train")])
    gone: dict[str, object] = {"deletionTimestamp": ago(0), "finalizers": ["foregroundDeletion"]}
    job, living = stage_job("train"), pod("train")
    job["metadata"] |= gone
    living["metadata"] |= {"deletionTimestamp": ago(0)}
    early = look(fine_tune_job(suspended.status.dump()), jobs=[job], pods=[living])
    assert (launched(early), early.status.runs, early.status.epoch) == (None, 1, suspended.status.epoch)
    for jobs in ([job], []):
        late = look(fine_tune_job(early.status.dump()), jobs=jobs, pods=[pod("train", exit_code=75)])
        assert launched(late) == ("train", 2, 3)
        assert late.status.epoch == 2
        assert late.must_be_first


def test_a_resume_before_the_job_was_stopped_lets_it_go_on() -> None:
    suspended = look(fine_tune_job(training(), suspend=True), jobs=[stage_job("train")], pods=[pod("train")])
    seen = look(fine_tune_job(suspended.status.dump()), jobs=[stage_job("train")], pods=[pod("train")])
    assert not seen.actions.stop_jobs
    assert launched(seen) is None
    assert conditions(seen)["Running"] == ("True", "Training")


def test_a_resume_while_the_node_is_lost_takes_a_number_of_its_own() -> None:
    suspended = look(fine_tune_job(training(), suspend=True), jobs=[stage_job("train")], pods=[pod("train")])
    lost = pod("train")
    lost["metadata"] |= {"deletionTimestamp": ago(400), "deletionGracePeriodSeconds": 30}
    seen = look(fine_tune_job(suspended.status.dump()), pods=[lost])
    assert launched(seen) == ("train", 2, 3)
    assert seen.status.epoch == 2
