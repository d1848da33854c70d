"""Whole lives of Jobs: decision after decision, with pods that end, and crashes between the steps."""

import pytest

from unit.local.controllers.jobs_builders import (
    DISRUPTED,
    Stage,
    at,
    conditions_of,
    indexed,
    job,
    on_codes,
    on_disruption,
)


def begun(stage: Stage) -> Stage:
    """Return a stage whose Job has its first pods."""
    stage.job["status"] = {}
    stage.settle()
    return stage


def test_a_job_succeeds() -> None:
    stage = begun(Stage(job()))
    assert stage.status["active"] == 1
    stage.end("pod-1", 0)
    stage.settle()
    assert conditions_of(stage.status) == [
        ("SuccessCriteriaMet", "CompletionsReached"),
        ("Complete", "CompletionsReached"),
    ]
    assert (stage.status["succeeded"], stage.status.get("failed")) == (1, None)
    assert stage.status["uncountedTerminatedPods"] == {}
    assert "completionTime" in stage.status
    assert "active" not in stage.status
    assert stage.events == ["Completed"]
    assert stage.pods["pod-1"]["metadata"]["finalizers"] == []


def test_a_job_retries_until_its_limit() -> None:
    stage, clock = begun(Stage(job(backoffLimit=2))), 0.0
    for number, pause in ((1, 10.0), (2, 20.0)):
        stage.end(f"pod-{number}", 1)
        stage.settle()
        assert stage.made == number
        clock += pause
        stage.now = at(clock)
        stage.settle()
        assert stage.made == number + 1
    stage.end("pod-3", 1)
    stage.settle()
    assert conditions_of(stage.status)[-1] == ("Failed", "BackoffLimitExceeded")
    assert (stage.status["failed"], stage.made) == (3, 3)
    assert stage.events == ["BackoffLimitExceeded"]


def test_the_pause_is_remembered_by_the_pods_when_the_controller_starts_again() -> None:
    stage = begun(Stage(job()))
    stage.end("pod-1", 1)
    stage.settle()
    stage._record = None
    assert stage.look().again_after == 10


def test_a_job_fails_only_when_its_last_pod_is_gone() -> None:
    stage = begun(Stage(job(backoffLimit=0, parallelism=2, completions=2)))
    stage.end("pod-1", 1)
    stage.settle()
    assert conditions_of(stage.status) == [("FailureTarget", "BackoffLimitExceeded")]
    assert (stage.status["terminating"], stage.events) == (1, [])
    stage.end("pod-2", 143)
    stage.settle()
    assert conditions_of(stage.status) == [
        ("FailureTarget", "BackoffLimitExceeded"),
        ("Failed", "BackoffLimitExceeded"),
    ]
    assert (stage.status["failed"], stage.status["terminating"]) == (2, 0)


def test_indexes_fail_and_succeed_for_themselves() -> None:
    policy = on_codes("FailIndex", 3)
    stage = begun(Stage(indexed(4, backoffLimitPerIndex=1, podFailurePolicy=policy)))
    for uid, code in (("pod-1", 0), ("pod-2", 3), ("pod-3", 1), ("pod-4", 1)):
        stage.end(uid, code)
    stage.settle()
    assert stage.status["failedIndexes"] == "1"
    stage.now = at(10)
    stage.settle()
    assert stage.made == 6
    stage.end("pod-5", 0)
    stage.end("pod-6", 1)
    stage.settle()
    assert conditions_of(stage.status)[-1] == ("Failed", "FailedIndexes")
    assert (stage.status["completedIndexes"], stage.status["failedIndexes"]) == ("0,2", "1,3")
    assert (stage.status["succeeded"], stage.status["failed"]) == (2, 4)


def test_a_failed_pod_of_an_index_is_kept_until_its_successor_exists() -> None:
    stage = begun(Stage(indexed(1, backoffLimitPerIndex=1)))
    stage.end("pod-1", 1)
    stage.settle()
    assert stage.pods["pod-1"]["metadata"]["finalizers"]
    assert "failed" not in stage.status
    stage.now = at(10)
    stage.settle()
    assert stage.pods["pod-1"]["metadata"]["finalizers"] == []
    assert stage.status["failed"] == 1


def test_a_disrupted_pod_is_replaced_when_it_has_ended_and_does_not_count() -> None:
    stage = begun(Stage(job(backoffLimit=0, podFailurePolicy=on_disruption("Ignore"))))
    stage.pods["pod-1"]["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    stage.settle()
    assert (stage.made, stage.status["terminating"]) == (1, 1)
    stage.end("pod-1", 143, conditions=[DISRUPTED])
    stage.now = at(10)
    stage.settle()
    assert stage.made == 2
    assert "failed" not in stage.status
    stage.end("pod-2", 0)
    stage.settle()
    assert conditions_of(stage.status)[-1] == ("Complete", "CompletionsReached")


def test_a_suspended_job_stops_its_pods_without_counting_them_and_goes_on_when_resumed() -> None:
    stage = begun(Stage(job(activeDeadlineSeconds=60, backoffLimit=0)))
    stage.job["spec"]["suspend"] = True
    stage.settle()
    assert conditions_of(stage.status) == [("Suspended", "JobSuspended")]
    assert "active" not in stage.status
    stage.end("pod-1", 143)
    stage.settle()
    assert "failed" not in stage.status
    stage.now = at(1000)
    stage.job["spec"]["suspend"] = False
    stage.settle()
    assert (stage.made, stage.status["active"]) == (2, 1)
    assert conditions_of(stage.status) == []
    assert stage.status["startTime"] == "2026-01-01T12:16:40Z"
    assert stage.events == ["Suspended", "Resumed"]
    stage.now = at(1060)
    stage.settle()
    stage.end("pod-2", 143)
    stage.settle()
    assert conditions_of(stage.status)[-1] == ("Failed", "DeadlineExceeded")


def test_a_job_with_enough_successes_stops_the_rest_and_does_not_count_them() -> None:
    stage = begun(Stage(indexed(2, successPolicy={"rules": [{"succeededIndexes": "0"}]})))
    stage.end("pod-1", 0)
    stage.settle()
    assert conditions_of(stage.status) == [("SuccessCriteriaMet", "SuccessPolicy")]
    stage.end("pod-2", 143)
    stage.settle()
    assert conditions_of(stage.status)[-1] == ("Complete", "SuccessPolicy")
    assert (stage.status["succeeded"], stage.status.get("failed")) == (1, None)


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("releases", [0, 1, 2])
def test_pods_are_counted_once_whatever_a_crash_leaves_half_done(code: int, releases: int) -> None:
    stage = begun(Stage(job(parallelism=3, completions=5, backoffLimit=9)))
    for uid in ("pod-1", "pod-2", "pod-3"):
        stage.end(uid, code)
    stage.step()  # three successes make room for two more pods; failures wait
    stage.step(releases=releases)
    word = "failed" if code else "succeeded"
    counted = stage.status.get(word, 0) + len(stage.status["uncountedTerminatedPods"].get(word, []))
    assert counted == 3
    stage.settle()
    assert (stage.status[word], stage.status["uncountedTerminatedPods"]) == (3, {})


def test_pods_that_are_deleted_before_they_were_counted_are_counted() -> None:
    stage = begun(Stage(job(backoffLimit=9)))
    stage.end("pod-1", 1)
    stage.pods["pod-1"]["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    stage.settle()
    assert stage.status["failed"] == 1
    assert "pod-1" not in stage.pods


def test_a_job_that_is_deleted_lets_its_pods_go() -> None:
    stage = begun(Stage(job(parallelism=2, completions=2)))
    stage.job["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    stage.settle()
    assert [each["metadata"]["finalizers"] for each in stage.pods.values()] == [[], []]
    assert stage.made == 2
