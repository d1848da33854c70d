"""What a Job is told to do at one look, as tables; the whole lives are in `test_jobs_lives`."""

from typing import Any

import pytest

from kubetune_local.controllers.jobs.backoff import Record, advance, remaining
from kubetune_local.controllers.jobs.decide import Decision, decide
from kubetune_local.controllers.jobs.indexes import format_indexes, parse_indexes
from kubetune_local.controllers.jobs.policy import match_policy
from kubetune_local.controllers.jobs.success import success_policy_message
from kubetune_local.controllers.jobs.view import FAILURES, FINALIZER, IGNORED, INDEX
from unit.local.controllers.jobs_builders import (
    DISRUPTED,
    NOW,
    at,
    condition,
    conditions_of,
    failed,
    indexed,
    job,
    on_codes,
    on_disruption,
    pod,
    succeeded,
    uids,
)

JSON = dict[str, Any]


def indexes(decision: Decision) -> list[str]:
    """Return the indexes of the pods that are made."""
    return [each["metadata"]["annotations"][INDEX] for each in decision.create]


# How many pods.


@pytest.mark.parametrize(
    ("made", "pods", "create", "discard"),
    [
        (job(), [], 1, []),
        (job(), [pod("a")], 0, []),
        (job(completions=3, parallelism=2), [], 2, []),
        (job(completions=3, parallelism=2), [pod("a"), succeeded("b")], 1, []),
        (job(completions=2, parallelism=2), [pod("a"), succeeded("b")], 0, []),
        (job(completions=3, parallelism=0), [], 0, []),
        (job(completions=3, parallelism=1), [pod("a", ready=True), pod("b")], 0, ["b"]),
        (job(completions=3, parallelism=1), [pod("a"), pod("b", "Pending", node="")], 0, ["b"]),
        (job(completions=None, parallelism=2), [pod("a")], 1, []),
        (job(completions=None, parallelism=2), [pod("a"), succeeded("b")], 0, []),
        (job(), [pod("a", deleting=True)], 1, []),
        (job(podReplacementPolicy="Failed"), [pod("a", deleting=True)], 0, []),
        (job(podFailurePolicy=on_disruption("Ignore")), [pod("a", deleting=True)], 0, []),
        (job(suspend=True), [], 0, []),
        (job(suspend=True), [pod("a"), pod("b", deleting=True)], 0, ["a"]),
        (indexed(3, parallelism=2), [pod("a", index=1)], 1, []),
        (indexed(2), [pod("a", index=0), pod("b", index=0, ready=True)], 0, ["a"]),
        (indexed(2), [pod("a", index=0), pod("b", index=1), pod("c", index=2)], 0, ["c"]),
    ],
)
def test_a_job_has_as_many_pods_as_it_wants(made: JSON, pods: list[JSON], create: int, discard: list[str]) -> None:
    decision = decide(made, pods, at(60))
    assert (len(decision.create), uids(decision.discard), decision.stop) == (create, discard, [])


def test_an_indexed_job_fills_the_lowest_gaps() -> None:
    made = decide(indexed(5, parallelism=3), [pod("a", index=1), succeeded("b", index=0)], NOW)
    assert indexes(made) == ["2", "3"]
    first = made.create[0]
    assert first["metadata"]["name"].startswith("j-2-")
    assert first["metadata"]["labels"][INDEX] == "2"
    assert first["metadata"]["finalizers"] == [FINALIZER]
    assert first["metadata"]["ownerReferences"][0]["uid"] == "u"
    assert first["spec"]["hostname"] == "j-2"
    assert [entry["name"] for entry in first["spec"]["containers"][0]["env"]] == ["JOB_COMPLETION_INDEX"]


# Ends.

TWO = {"parallelism": 2, "completions": 2}
REACHED, LIMIT = "CompletionsReached", "BackoffLimitExceeded"
COMPLETE = [("SuccessCriteriaMet", REACHED)]


@pytest.mark.parametrize(
    ("made", "pods", "ends"),
    [
        (job(), [succeeded("a")], COMPLETE),
        (job(**TWO), [succeeded("a"), pod("b")], []),
        (job(), [succeeded("a"), pod("b")], []),
        (job(completions=None, parallelism=2), [succeeded("a"), pod("b")], []),
        (job(completions=None, parallelism=2), [succeeded("a"), failed("b")], COMPLETE),
        (job(backoffLimit=0), [failed("a")], [("FailureTarget", LIMIT)]),
        (job(backoffLimit=1), [failed("a")], []),
        (
            job({"startTime": "2026-01-01T11:00:00Z", "failed": 1}, backoffLimit=1),
            [failed("a")],
            [("FailureTarget", LIMIT)],
        ),
        (job(backoffLimit=0, podReplacementPolicy="Failed"), [pod("a", deleting=True)], []),
        (
            job(backoffLimit=0, podReplacementPolicy="TerminatingOrFailed"),
            [pod("a", deleting=True)],
            [("FailureTarget", LIMIT)],
        ),
        (job(podFailurePolicy=on_codes("FailJob", 3)), [failed("a", 3)], [("FailureTarget", "PodFailurePolicy")]),
        (job(podFailurePolicy=on_codes("FailJob", 3)), [failed("a", 4)], []),
        (job(backoffLimit=0, podFailurePolicy=on_codes("Ignore", 3)), [failed("a", 3)], []),
        (job(backoffLimit=0, podFailurePolicy=on_codes("Count", 3)), [failed("a", 3)], [("FailureTarget", LIMIT)]),
        (
            job(backoffLimit=0, podFailurePolicy=on_disruption("Ignore")),
            [failed("a", 137, conditions=[DISRUPTED])],
            [],
        ),
        (job(activeDeadlineSeconds=3600), [pod("a")], [("FailureTarget", "DeadlineExceeded")]),
        (job(activeDeadlineSeconds=3601), [pod("a")], []),
        (job(activeDeadlineSeconds=1, suspend=True), [], [("Suspended", "JobSuspended")]),
        (indexed(2), [succeeded("a", index=0), succeeded("b", index=1)], COMPLETE),
        (indexed(2), [succeeded("a", index=0), succeeded("b", index=0)], []),
        (
            indexed(2, backoffLimitPerIndex=0),
            [succeeded("a", index=0), failed("b", index=1)],
            [("FailureTarget", "FailedIndexes")],
        ),
        (
            indexed(3, backoffLimitPerIndex=0, maxFailedIndexes=0),
            [pod("a", index=0), failed("b", index=1)],
            [("FailureTarget", "MaxFailedIndexesExceeded")],
        ),
        (indexed(2, backoffLimitPerIndex=1), [succeeded("a", index=0), failed("b", index=1)], []),
        (
            indexed(2, backoffLimitPerIndex=1, podFailurePolicy=on_codes("FailIndex", 3)),
            [succeeded("a", index=0), failed("b", 3, index=1)],
            [("FailureTarget", "FailedIndexes")],
        ),
        (
            indexed(2, backoffLimitPerIndex=1),
            [succeeded("a", index=0), failed("b", index=1, failures=1)],
            [("FailureTarget", "FailedIndexes")],
        ),
        (
            indexed(2, backoffLimitPerIndex=1, podFailurePolicy=on_codes("Ignore", 3)),
            [succeeded("a", index=0), failed("b", 3, index=1, failures=1)],
            [],
        ),
        (
            indexed(3, successPolicy={"rules": [{"succeededIndexes": "1"}]}),
            [pod("a", index=0), succeeded("b", index=1)],
            [("SuccessCriteriaMet", "SuccessPolicy")],
        ),
    ],
)
def test_a_job_ends_for_a_reason(made: JSON, pods: list[JSON], ends: list[tuple[str, str]]) -> None:
    assert conditions_of(decide(made, pods, NOW).status) == ends


def test_a_failed_job_stops_its_other_pods_before_its_end_is_told() -> None:
    decision = decide(job(backoffLimit=0, **TWO), [failed("a"), pod("b"), pod("c", deleting=True)], NOW)
    assert uids(decision.stop) == ["b"]
    assert (decision.create, decision.release, decision.events) == ([], [], [])


def test_restarts_within_pods_count_towards_the_limit() -> None:
    template = {"spec": {"restartPolicy": "OnFailure", "containers": [{"name": "c", "image": "none"}]}}
    running = pod("a")
    running["status"]["containerStatuses"] = [{"name": "c", "restartCount": 2, "state": {"running": {}}}]
    assert conditions_of(decide(job(backoffLimit=3, template=template), [running], NOW).status) == []
    limit = decide(job(backoffLimit=2, template=template), [running], NOW)
    assert conditions_of(limit.status) == [("FailureTarget", LIMIT)]


def test_a_finished_job_only_releases_its_pods() -> None:
    over = {"conditions": [condition("Complete", REACHED)], "succeeded": 1}
    decision = decide(job(over), [succeeded("a"), succeeded("b", tracked=False)], NOW)
    assert (uids(decision.release), decision.status, decision.create) == (["a"], over, [])


def test_a_job_that_is_deleted_makes_no_pod_and_releases_all() -> None:
    leaving = job(**TWO)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    decision = decide(leaving, [pod("a")], NOW)
    assert (decision.create, decision.discard, uids(decision.release)) == ([], [], ["a"])


# Pauses.


@pytest.mark.parametrize(("failures", "pause"), [(0, 0), (1, 10), (2, 20), (3, 40), (6, 320), (7, 600), (99, 600)])
def test_the_pause_doubles_up_to_ten_minutes(failures: int, pause: float) -> None:
    assert remaining(failures, NOW, NOW, 10) == pause
    assert remaining(failures, NOW, at(pause), 10) == 0


def test_a_success_forgets_the_failures_before_it() -> None:
    record = advance(Record(), [failed("a"), failed("b")], NOW)
    assert record == Record(2, NOW)
    late = succeeded("c")
    late["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = "2026-01-01T12:00:05Z"
    assert advance(record, [late, failed("d")], NOW) == Record()
    early = succeeded("e")
    early["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = "2026-01-01T11:59:55Z"
    assert advance(record, [early, failed("f")], NOW) == Record(1, NOW)


def test_a_failed_pod_is_replaced_after_the_pause() -> None:
    before, after = decide(job(), [failed("a")], at(4)), decide(job(), [failed("a")], at(10))
    assert (before.create, before.again_after) == ([], 6)
    assert (len(after.create), after.again_after) == (1, None)


def test_each_index_pauses_for_itself_and_its_next_pod_carries_the_count() -> None:
    made = indexed(3, backoffLimitPerIndex=3)
    pods = [failed("a", index=0), failed("b", index=1, failures=1), pod("c", index=2)]
    early, first, both = (decide(made, pods, at(seconds)) for seconds in (4, 10, 20))
    assert (indexes(early), early.again_after) == ([], 6)
    assert (indexes(first), first.again_after) == (["0"], 10)
    assert [each["metadata"]["annotations"][FAILURES] for each in both.create] == ["1", "2"]


def test_an_ignored_failure_of_an_index_is_carried_apart() -> None:
    made = indexed(1, backoffLimitPerIndex=1, podFailurePolicy=on_codes("Ignore", 3))
    (again,) = decide(made, [failed("a", 3, index=0, failures=1)], at(60)).create
    annotations = again["metadata"]["annotations"]
    assert (annotations[FAILURES], annotations[IGNORED]) == ("1", "1")


def test_the_deadline_is_looked_at_when_it_comes() -> None:
    assert decide(job(activeDeadlineSeconds=3630), [pod("a")], NOW).again_after == 30


# Suspension.


def test_a_suspended_job_says_so_once_its_pods_are_told_to_go() -> None:
    decision = decide(job(suspend=True), [], NOW)
    assert conditions_of(decision.status) == [("Suspended", "JobSuspended")]
    assert [event.reason for event in decision.events] == ["Suspended"]


def test_a_job_born_suspended_has_not_started() -> None:
    assert "startTime" not in decide(job({}, suspend=True), [], NOW).status


def test_a_suspended_job_has_no_start_and_a_resumed_one_starts_anew() -> None:
    assert "startTime" not in decide(job(suspend=True), [], NOW).status
    suspended = {"conditions": [condition("Suspended", "JobSuspended")]}
    decision = decide(job(suspended, activeDeadlineSeconds=60), [pod("a")], NOW)
    (resumed,) = decision.status["conditions"]
    assert (resumed["type"], resumed["status"], resumed["reason"]) == ("Suspended", "False", "JobResumed")
    assert decision.status["startTime"] == "2026-01-01T12:00:00Z"
    assert decision.again_after == 60


# Small arithmetic.


@pytest.mark.parametrize("text", ["", "0", "1,2", "0-2,5", "1,3,5-9"])
def test_indexes_are_read_as_they_are_written(text: str) -> None:
    assert format_indexes(parse_indexes(text)) == text


@pytest.mark.parametrize(
    ("policy", "succeeded_ones", "message"),
    [
        (None, {0}, ""),
        ({"rules": [{"succeededCount": 2}]}, {0}, ""),
        ({"rules": [{"succeededCount": 2}]}, {0, 3}, "Matched rules at index 0"),
        ({"rules": [{"succeededCount": 3}, {"succeededIndexes": "0,1"}]}, {0, 1}, "Matched rules at index 1"),
        ({"rules": [{"succeededIndexes": "1-3", "succeededCount": 1}]}, {0}, ""),
    ],
)
def test_a_success_policy_holds_when_one_rule_does(policy: JSON, succeeded_ones: set[int], message: str) -> None:
    assert success_policy_message(policy, 4, succeeded_ones) == message


RULES = {
    "rules": [*on_disruption("Ignore")["rules"], *on_codes("FailIndex", 3)["rules"], *on_codes("FailJob", 3)["rules"]]
}


@pytest.mark.parametrize(
    ("found", "per_index", "action", "message"),
    [
        (
            failed("a", 3, conditions=[DISRUPTED]),
            True,
            "Ignore",
            "Pod n/a has condition DisruptionTarget matching Ignore",
        ),
        (
            failed("a", 3),
            True,
            "FailIndex",
            "Container c for pod n/a failed with exit code 3 matching FailIndex rule at",
        ),
        (failed("a", 3), False, "FailJob", "Container c for pod n/a failed with exit code 3 matching FailJob rule at"),
        (failed("a", 1), True, "Count", ""),
        (pod("a", "Failed"), True, "Count", ""),
    ],
)
def test_the_first_rule_that_fits_decides(found: JSON, per_index: bool, action: str, message: str) -> None:
    match = match_policy(RULES, found, per_index=per_index)
    assert match.action == action
    assert match.message.startswith(message)


def test_a_code_that_is_not_in_a_list_never_means_success() -> None:
    policy = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [75]}}]}
    assert match_policy(policy, failed("a", 1), per_index=False).action == "FailJob"
    assert match_policy(policy, failed("a", 75), per_index=False).action == "Count"
    assert match_policy(policy, pod("a", "Failed", code=0), per_index=False).action == "Count"
