"""Jobs end alike under our Job controller and under the one of Kubernetes.

Each scenario is a Job whose pods end as scripted, and the end that it must come to in every world: in the embedded one
our controller brings it about, in the control plane kube-controller-manager does. All Jobs of a world run at once, for
one of them waits 10 s for its second try.
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cluster.harness.under_test import ClusterUnderTest
from cluster.harness.worlds import LocalWorld

JSON = dict[str, Any]

SLEEP = "exec sleep 60"
BY_INDEX = "case $JOB_COMPLETION_INDEX in {} esac"
FORGIVE = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


def on_code(action: str, *codes: int) -> JSON:
    """Return a rule of a podFailurePolicy."""
    return {"action": action, "onExitCodes": {"operator": "In", "values": list(codes)}}


def indexed(completions: int, **spec: Any) -> JSON:
    """Return the spec of an Indexed Job that runs all its pods at once."""
    return {"completionMode": "Indexed", "completions": completions, "parallelism": completions, **spec}


@dataclass(frozen=True)
class Scenario:
    """A Job, and how it must end."""

    script: str
    spec: JSON
    ends: list[tuple[str, str]]
    """Type and reason of the conditions that are True, in order."""
    counts: JSON = field(default_factory=dict)
    """What is left in the status beside conditions and times."""

    @property
    def told(self) -> tuple[str, str]:
        """Type and reason of the event that tells the end."""
        type_, reason = self.ends[-1]
        return ("Normal", "Completed") if type_ == "Complete" else ("Warning", reason)


SCENARIOS = {
    "success": Scenario(
        "exit 0",
        {"completions": 3, "parallelism": 2},
        [("SuccessCriteriaMet", "CompletionsReached"), ("Complete", "CompletionsReached")],
        {"succeeded": 3},
    ),
    "limit": Scenario(
        "exit 1",
        {"backoffLimit": 0},
        [("FailureTarget", "BackoffLimitExceeded"), ("Failed", "BackoffLimitExceeded")],
        {"failed": 1},
    ),
    "limit-with-others-running": Scenario(
        BY_INDEX.format(f"0) exit 1;; *) {SLEEP};;"),
        indexed(3, backoffLimit=0),
        [("FailureTarget", "BackoffLimitExceeded"), ("Failed", "BackoffLimitExceeded")],
        {"failed": 3},
    ),
    "fail-job": Scenario(
        BY_INDEX.format(f"0) exit 0;; 1) sleep 2; exit 65;; *) {SLEEP};;"),
        indexed(3, backoffLimit=6, podFailurePolicy={"rules": [FORGIVE, on_code("FailJob", 65)]}),
        [("FailureTarget", "PodFailurePolicy"), ("Failed", "PodFailurePolicy")],
        {"succeeded": 1, "failed": 2, "completedIndexes": "0"},
    ),
    "fail-index": Scenario(
        BY_INDEX.format("1) exit 65;; 3) exit 1;; *) exit 0;;"),
        indexed(
            5,
            backoffLimitPerIndex=0,
            podFailurePolicy={"rules": [on_code("FailIndex", 65), on_code("Count", 1)]},
        ),
        [("FailureTarget", "FailedIndexes"), ("Failed", "FailedIndexes")],
        {"succeeded": 3, "failed": 2, "completedIndexes": "0,2,4", "failedIndexes": "1,3"},
    ),
    "too-many-indexes": Scenario(
        BY_INDEX.format(f"0|1) exit 1;; *) {SLEEP};;"),
        indexed(4, backoffLimitPerIndex=0, maxFailedIndexes=1),
        [("FailureTarget", "MaxFailedIndexesExceeded"), ("Failed", "MaxFailedIndexesExceeded")],
        {"failed": 4, "failedIndexes": "0,1"},
    ),
    "second-try": Scenario(
        "test -e {marks}/again && exit 0; touch {marks}/again; exit 1",
        {"backoffLimit": 1},
        [("SuccessCriteriaMet", "CompletionsReached"), ("Complete", "CompletionsReached")],
        {"succeeded": 1, "failed": 1},
    ),
    "second-try-of-an-index": Scenario(
        BY_INDEX.format("0) exit 0;; 1) test -e {marks}/index && exit 0; touch {marks}/index; exit 1;; *) exit 1;;"),
        indexed(3, backoffLimitPerIndex=1),
        [("FailureTarget", "FailedIndexes"), ("Failed", "FailedIndexes")],
        {"succeeded": 2, "failed": 3, "completedIndexes": "0,1", "failedIndexes": "2"},
    ),
    "ignored": Scenario(
        "test -e {marks}/ignored && exit 0; touch {marks}/ignored; exit 75",
        {"backoffLimit": 0, "podFailurePolicy": {"rules": [on_code("Ignore", 75)]}},
        [("SuccessCriteriaMet", "CompletionsReached"), ("Complete", "CompletionsReached")],
        {"succeeded": 1},
    ),
    "work-queue": Scenario(
        "exit 0",
        {"completions": None, "parallelism": 2},
        [("SuccessCriteriaMet", "CompletionsReached"), ("Complete", "CompletionsReached")],
        {"succeeded": 2},
    ),
    "deadline": Scenario(
        SLEEP,
        {"activeDeadlineSeconds": 2, "backoffLimit": 0},
        [("FailureTarget", "DeadlineExceeded"), ("Failed", "DeadlineExceeded")],
        {"failed": 1},
    ),
    "success-policy": Scenario(
        BY_INDEX.format(f"1) exit 0;; *) {SLEEP};;"),
        indexed(2, successPolicy={"rules": [{"succeededIndexes": "1"}]}),
        [("SuccessCriteriaMet", "SuccessPolicy"), ("Complete", "SuccessPolicy")],
        {"succeeded": 1, "completedIndexes": "1"},
    ),
}


def job(name: str, script: str, spec: JSON) -> JSON:
    """Return a Job whose pods run a shell script."""
    container = {"name": "c", "image": "docker.io/library/python:3.11-slim", "command": ["/bin/sh", "-c", script]}
    pod = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 2, "containers": [container]}
    body = {**spec, "template": {"spec": pod}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": body}


def true_conditions(found: JSON | None) -> list[tuple[str, str]]:
    """Return type and reason of the conditions that are True."""
    conditions = ((found or {}).get("status") or {}).get("conditions") or []
    return [(entry["type"], entry["reason"]) for entry in conditions if entry["status"] == "True"]


def over(found: JSON | None) -> bool:
    """Tell whether a Job has ended."""
    return any(type_ in ("Complete", "Failed") for type_, _ in true_conditions(found))


def counts(found: JSON | None) -> JSON:
    """Return the counters of a Job that are not 0."""
    kept = ("active", "ready", "terminating", "succeeded", "failed", "completedIndexes", "failedIndexes")
    status = (found or {}).get("status") or {}
    return {name: status[name] for name in kept if status.get(name)}


@pytest.fixture
def marks(cluster: ClusterUnderTest, tmp_path: Path) -> Path:
    """A folder that pods can leave marks in: they are processes of this machine."""
    assert isinstance(cluster.world, LocalWorld), "the pods of these tests meet in a folder of this machine"
    return tmp_path


async def test_jobs_come_to_the_same_end(cluster: ClusterUnderTest, marks: Path) -> None:
    for name, scenario in SCENARIOS.items():
        await cluster.create(job(name, scenario.script.replace("{marks}", str(marks)), scenario.spec))
    found = await asyncio.gather(*(cluster.wait_for("Job", name, over) for name in SCENARIOS))
    ends = {each["metadata"]["name"]: (true_conditions(each), counts(each)) for each in found}
    assert ends == {name: (scenario.ends, scenario.counts) for name, scenario in SCENARIOS.items()}
    assert all(each["status"]["uncountedTerminatedPods"] == {} for each in found)
    told = {(name, *scenario.told) for name, scenario in SCENARIOS.items()}
    await cluster.wait_until(lambda: _have_been_told(cluster, told), what=f"the events {told}")


async def _have_been_told(cluster: ClusterUnderTest, wanted: set[tuple[str, str, str]]) -> bool:
    events = await cluster.list("Event")
    said = {(each["involvedObject"]["name"], each["type"], each["reason"]) for each in events}
    return wanted <= said


async def test_a_job_is_suspended_and_resumed(cluster: ClusterUnderTest, marks: Path) -> None:
    script = f"test -e {marks}/resumed && exit 0; {SLEEP}"
    await cluster.create(job("pausing", script, {"backoffLimit": 0, "activeDeadlineSeconds": 30}))
    await cluster.wait_for("Job", "pausing", lambda found: counts(found).get("active") == 1)
    await cluster.patch("Job", "pausing", {"spec": {"suspend": True}})
    suspended = await cluster.wait_for("Job", "pausing", lambda found: true_conditions(found) and not counts(found))
    assert true_conditions(suspended) == [("Suspended", "JobSuspended")]
    assert "startTime" not in suspended["status"]
    (marks / "resumed").touch()
    await cluster.patch("Job", "pausing", {"spec": {"suspend": False}})
    found = await cluster.wait_for("Job", "pausing", over)
    assert [(entry["type"], entry["status"], entry["reason"]) for entry in found["status"]["conditions"]] == [
        ("Suspended", "False", "JobResumed"),
        ("SuccessCriteriaMet", "True", "CompletionsReached"),
        ("Complete", "True", "CompletionsReached"),
    ]
    assert counts(found) == {"succeeded": 1}
    assert len(await cluster.list("Pod")) == 1


async def test_a_deleted_pod_is_a_failure(cluster: ClusterUnderTest) -> None:
    await cluster.create(job("strict", SLEEP, {"backoffLimit": 0}))
    (pod,) = await cluster.wait_until(lambda: cluster.list("Pod"))
    await cluster.delete("Pod", pod["metadata"]["name"])
    found = await cluster.wait_for("Job", "strict", over)
    assert true_conditions(found)[-1] == ("Failed", "BackoffLimitExceeded")
    assert counts(found) == {"failed": 1}


async def test_a_deleted_job_takes_its_pods_along(cluster: ClusterUnderTest, marks: Path) -> None:
    await cluster.create(job("leaving", SLEEP, {"completions": 2, "parallelism": 2}))
    await cluster.wait_for("Job", "leaving", lambda found: counts(found).get("active") == 2)
    await cluster.delete("Job", "leaving")
    await cluster.wait_until(lambda: _no_pods(cluster))


async def _no_pods(cluster: ClusterUnderTest) -> bool:
    return not await cluster.list("Pod")


async def test_a_pod_that_is_being_stopped_is_waited_for_and_may_still_succeed(cluster: ClusterUnderTest) -> None:
    script = "trap 'exit 0' TERM; while true; do sleep 0.1; done"
    await cluster.create(job("patient", script, {"backoffLimit": 0, "podReplacementPolicy": "Failed"}))
    (pod,) = await cluster.wait_until(lambda: _running(cluster))
    await cluster.delete("Pod", pod["metadata"]["name"])
    found = await cluster.wait_for("Job", "patient", over)
    assert true_conditions(found)[-1] == ("Complete", "CompletionsReached")
    assert counts(found) == {"succeeded": 1}


async def test_an_indexed_job_grows_and_shrinks(cluster: ClusterUnderTest) -> None:
    await cluster.create(job("elastic", SLEEP, indexed(2)))
    await cluster.wait_until(lambda: _are_running(cluster, "0", "1"))
    await cluster.patch("Job", "elastic", {"spec": {"parallelism": 4, "completions": 4}})
    await cluster.wait_until(lambda: _are_running(cluster, "0", "1", "2", "3"))
    await cluster.patch("Job", "elastic", {"spec": {"parallelism": 1, "completions": 1}})
    await cluster.wait_until(lambda: _are_running(cluster, "0"))
    found = await cluster.get("Job", "elastic")
    assert counts(found).get("failed") is None


async def _running(cluster: ClusterUnderTest) -> list[JSON]:
    pods = await cluster.list("Pod")
    return [
        each for each in pods if each["status"]["phase"] == "Running" and not each["metadata"].get("deletionTimestamp")
    ]


async def _are_running(cluster: ClusterUnderTest, *indexes: str) -> bool:
    label = "batch.kubernetes.io/job-completion-index"
    return sorted(each["metadata"]["labels"][label] for each in await _running(cluster)) == list(indexes)
