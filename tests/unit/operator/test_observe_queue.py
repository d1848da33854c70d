"""Jobs that a queue holds back: admitted, evicted and admitted again, without a word of ours."""

import pytest

from kubetune_operator.observe import EventView
from unit.operator.builders import (
    Manifest,
    ago,
    conditions,
    eval_run,
    fine_tune_job,
    look,
    message,
    pod,
    stage_job,
    stored,
    training,
)

QUEUE = {"queueName": "team-a"}


def queued_job(stage: str = "train", *, suspend: bool = True, queue: str | None = "team-a") -> Manifest:
    job = stage_job(stage)
    job["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": queue} if queue else {}
    job["spec"]["suspend"] = suspend
    return job


@pytest.mark.parametrize("stage", ["prepare", "train"])
def test_a_job_in_the_queue_is_told_of_with_what_kueue_says(stage: str) -> None:
    said = EventView("Pending", "couldn't assign flavors to pod set main: insufficient quota for cpu", "Workload")
    status = stored() if stage == "prepare" else training()
    seen = look(fine_tune_job(status, scheduling=QUEUE), jobs=[queued_job(stage)], events=[said])
    assert conditions(seen)["Admitted"] == ("False", "Queued")
    assert conditions(seen)["Progressing"] == ("False", "Queued")
    assert message(seen, "Admitted") == f"waiting for a place in queue team-a: {said.message}"
    assert not seen.actions.stop_jobs
    assert seen.actions.launch is None


def test_an_admitted_job_is_told_of_before_its_pod_is_there() -> None:
    seen = look(fine_tune_job(training(), scheduling=QUEUE), jobs=[queued_job(suspend=False)])
    assert conditions(seen)["Admitted"] == ("True", "Admitted")


def test_an_evicted_job_costs_no_retry_and_goes_back_into_the_queue() -> None:
    stopped = pod("train", exit_code=137)
    stopped["metadata"]["deletionTimestamp"] = ago(20)
    seen = look(fine_tune_job(training(), retries=0, scheduling=QUEUE), jobs=[queued_job()], pods=[stopped])
    assert conditions(seen)["Admitted"] == ("False", "Queued")
    assert seen.status.phase == "Queued"
    assert seen.status.attempts is not None
    assert seen.status.attempts[0].reason == "Requeued"
    assert (seen.status.failures, seen.status.disruptions, seen.status.runs) == (None, 1, 1)


def test_a_pod_that_ends_after_the_eviction_is_named() -> None:
    leaving = pod("train")
    leaving["metadata"]["deletionTimestamp"] = ago(-20)
    seen = look(fine_tune_job(training(), scheduling=QUEUE), jobs=[queued_job()], pods=[leaving])
    assert "writes a checkpoint and ends" in message(seen, "Admitted")


def test_a_person_who_suspends_a_queued_run_takes_its_job_away() -> None:
    seen = look(fine_tune_job(training(), suspend=True, scheduling=QUEUE), jobs=[queued_job()])
    assert seen.actions.stop_jobs == [queued_job()["metadata"]["name"]]


def test_a_job_that_somebody_else_suspended_says_how_to_go_on() -> None:
    seen = look(fine_tune_job(training()), jobs=[queued_job(queue=None)])
    assert conditions(seen)["Progressing"] == ("False", "JobSuspended")
    assert "kubectl patch job" in message(seen, "Progressing")


def test_an_evaluation_waits_in_the_queue_as_well() -> None:
    seen = look(eval_run(stored(), scheduling=QUEUE), jobs=[queued_job("evaluate")])
    assert conditions(seen)["Progressing"] == ("False", "Queued")
    assert seen.status.phase == "Queued"
