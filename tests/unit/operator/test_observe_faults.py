"""What ended an attempt: what it costs, what the next one does otherwise, and how the run ends when there is none."""

from typing import Any

import pytest

from kubetune_operator.observe import Observation, Tuning, notices
from kubetune_operator.observe.nodes import NodeView
from kubetune_operator.observe.situation import Launch
from unit.operator.builders import (
    Manifest,
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

DISRUPTED = [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]
NODES = [NodeView(f"node-{number}", {}, {"nvidia.com/gpu": "8", "cpu": "8"}) for number in (1, 2)]


def killed_for_memory(stage: str = "train", **more: Any) -> Manifest:
    entry = pod(stage, exit_code=137, **more)
    entry["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] = "OOMKilled"
    return entry


def after(entry: Manifest, *, retries: int = 3, job: str = "PodFailurePolicy", **status: Any) -> Observation:
    """Return what follows on a train Job that its pod ended, 100 s ago."""
    subject = fine_tune_job(training(**status), retries=retries)
    return look(subject, jobs=[stage_job("train", failed=job)], pods=[entry], nodes=NODES)


def order(seen: Observation) -> Launch:
    assert seen.actions.launch is not None
    return seen.actions.launch


@pytest.mark.parametrize(
    ("entry", "failures", "divisor", "avoided"),
    [
        pytest.param(pod("train", exit_code=76, ended=100), 1, 1, ("node-1",), id="stalled goes elsewhere"),
        pytest.param(killed_for_memory(ended=100), 1, 2, (), id="killed for memory takes half"),
        pytest.param(pod("train", exit_code=71, ended=100), 1, 2, (), id="said that memory ran out takes half"),
        pytest.param(pod("train", exit_code=137, ended=100), 1, 1, (), id="killed by a signal is tried again"),
        pytest.param(pod("train", exit_code=137, conditions=DISRUPTED), None, 1, (), id="a disruption costs nothing"),
    ],
)
def test_each_end_costs_what_it_should_and_changes_what_helps(
    entry: Manifest, failures: int | None, divisor: int, avoided: tuple[str, ...]
) -> None:
    seen = after(entry)
    assert launched(seen) == ("train", 2, 3 - (failures or 0))
    assert (order(seen).micro_batch_divisor, order(seen).avoided_nodes, order(seen).epoch) == (divisor, avoided, 2)
    assert (seen.status.failures, seen.status.runs, seen.status.epoch) == (failures, 2, 2)
    assert seen.must_be_first


@pytest.mark.parametrize("code", [64, 65, 66, 77, 78])
def test_what_another_attempt_cannot_mend_takes_one(code: int) -> None:
    seen = after(pod("train", exit_code=code, ended=100))
    assert seen.actions.launch is None
    assert conditions(seen)["Failed"][0] == "True"


def test_a_permanent_end_is_known_when_its_pod_is_gone() -> None:
    job = stage_job("train", failed="PodFailurePolicy")
    job["status"]["conditions"][0]["message"] = "Container trainer for pod team/x failed with exit code 78 matching"
    assert conditions(look(fine_tune_job(training()), jobs=[job]))["Failed"][0] == "True"
    job["status"]["conditions"][0]["message"] = "Container trainer for pod team/x failed with exit code 76 matching"
    assert launched(look(fine_tune_job(training()), jobs=[job])) == ("train", 2, 2)


def test_memory_that_runs_out_again_is_halved_again() -> None:
    seen = after(killed_for_memory(ended=100), adjustments={"microBatchDivisor": 4}, failures=2)
    assert order(seen).micro_batch_divisor == 8
    assert seen.status.adjustments is not None
    assert seen.status.adjustments.micro_batch_divisor == 8
    (told,) = notices(fine_tune_job(training(adjustments={"microBatchDivisor": 4})).status, seen.status)  # type: ignore[arg-type]
    assert (told.type, told.reason) == ("Warning", "MicroBatchReduced")
    assert "1/8" in told.message


def test_preparing_takes_no_smaller_batch() -> None:
    job = stage_job("prepare", failed="PodFailurePolicy")
    seen = look(fine_tune_job(stored()), jobs=[job], pods=[killed_for_memory("prepare", ended=100)])
    assert launched(seen) == ("prepare", 2, 2)
    assert order(seen).micro_batch_divisor == 1


def test_memory_that_ran_out_once_too_often_says_what_to_raise() -> None:
    seen = after(killed_for_memory(ended=100), retries=1, failures=1)
    assert conditions(seen)["Failed"] == ("True", "RetriesExhausted")
    assert "raise resources.memory" in message(seen, "Failed")


@pytest.mark.parametrize(
    ("nodes", "known", "avoided"),
    [
        pytest.param(NODES[:1], [], (), id="the only node"),
        pytest.param(None, [], (), id="nodes that may not be listed"),
        pytest.param(NODES, ["node-2"], ("node-2",), id="no other is left"),
        pytest.param([*NODES, NodeView("cpu", {}, {"cpu": "8"})], ["node-2"], ("node-2",), id="no accelerator is left"),
    ],
)
def test_a_node_is_avoided_only_while_another_could_hold_the_run(
    nodes: list[NodeView] | None, known: list[str], avoided: tuple[str, ...]
) -> None:
    status = training(adjustments={"avoidedNodes": known}) if known else training()
    jobs = [stage_job("train", failed="PodFailurePolicy")]
    seen = look(fine_tune_job(status), jobs=jobs, pods=[pod("train", exit_code=76, ended=100)], nodes=nodes)
    assert order(seen).avoided_nodes == avoided


def test_the_newest_eight_nodes_are_avoided() -> None:
    many = [NodeView(f"n{number}", {}, {"nvidia.com/gpu": "8"}) for number in range(12)]
    status = training(adjustments={"avoidedNodes": [f"n{number}" for number in range(8)]})
    jobs = [stage_job("train", failed="PodFailurePolicy")]
    seen = look(fine_tune_job(status), jobs=jobs, pods=[pod("train", exit_code=76, ended=100)], nodes=many)
    assert order(seen).avoided_nodes == (*(f"n{number}" for number in range(1, 8)), "node-1")


@pytest.mark.parametrize(("failures", "wait"), [(0, 10), (1, 20), (2, 40), (9, 360)])
def test_the_next_run_waits_longer_after_each_failure(failures: int, wait: int) -> None:
    job = {"jobs": [stage_job("train", failed="PodFailurePolicy")], "nodes": NODES}
    waits = look(
        fine_tune_job(training(failures=failures), retries=20), pods=[pod("train", exit_code=76, ended=3)], **job
    )
    assert waits.actions.launch is None
    assert waits.requeue_after == wait - 3
    due = pod("train", exit_code=76, started=wait + 50, ended=wait)
    assert launched(look(fine_tune_job(training(failures=failures), retries=20), pods=[due], **job)) is not None


def test_a_disruption_that_ends_the_job_is_bounded() -> None:
    entry = pod("train", exit_code=137, conditions=DISRUPTED)
    jobs = [stage_job("train", failed="PodFailurePolicy")]
    subject = fine_tune_job(training(disruptions=5), retries=0)
    seen = look(subject, jobs=jobs, pods=[entry], tuning=Tuning(max_disruptions=5))
    assert conditions(seen)["Failed"] == ("True", "TooManyDisruptions")
    assert launched(look(subject, jobs=jobs, pods=[entry], tuning=Tuning(max_disruptions=6))) == ("train", 2, 0)


def test_a_failed_job_of_a_suspended_run_waits_for_its_resume() -> None:
    jobs, pods = [stage_job("train", failed="PodFailurePolicy")], [pod("train", exit_code=76, ended=100)]
    seen = look(fine_tune_job(training(), suspend=True), jobs=jobs, pods=pods, nodes=NODES)
    assert conditions(seen)["Progressing"] == ("False", "Suspended")
    assert launched(look(fine_tune_job(seen.status.dump()), jobs=jobs, pods=pods, nodes=NODES)) == ("train", 2, 2)


def test_accelerator_hours_end_a_run_and_say_how_to_go_on() -> None:
    running = {"jobs": [stage_job("train")], "pods": [pod("train", started=600)]}
    resources = {"accelerator": {"count": 4}}
    status = training(acceleratorSeconds=4800, activeSeconds=1200)
    within = look(fine_tune_job(status, maxAcceleratorHours="2.01", resources=resources), **running)
    assert conditions(within)["Running"] == ("True", "Training")
    assert within.requeue_after == pytest.approx((2.01 * 3600 - 4800 - 2400) / 4 + 1)
    seen = look(fine_tune_job(status, maxAcceleratorHours="2", resources=resources), **running)
    assert conditions(seen)["Failed"] == ("True", "AcceleratorHoursExceeded")
    assert "workspace.claimName" in message(seen, "Failed")
    assert len(seen.actions.stop_jobs) == 1


def test_preparing_holds_no_accelerator() -> None:
    ended = {"jobs": [stage_job("prepare", complete=True)], "pods": [pod("prepare", exit_code=0)]}
    assert look(fine_tune_job(stored()), **ended).status.accelerator_seconds is None
    trained = {"jobs": [stage_job("train", complete=True)], "pods": [pod("train", exit_code=0, started=110, ended=10)]}
    seen = look(fine_tune_job(training(), resources={"accelerator": {"count": 4}}), **trained)
    assert (seen.status.active_seconds, seen.status.accelerator_seconds) == (100, 400)


def test_a_pod_that_vanished_ran_no_longer_than_until_the_next_one_was_made() -> None:
    gone = {"number": 1, "stage": "train", "pod": "gone", "started": ago(1000)}
    seen = look(fine_tune_job(training(attempts=[gone])), jobs=[stage_job("train")], pods=[pod("train", started=100)])
    assert seen.status.attempts is not None
    assert seen.status.attempts[0].ended == ago(105)
    assert seen.status.active_seconds == 895


def test_more_retries_than_attempts_are_listed_are_counted_exactly_over_a_resume() -> None:
    listed = [
        {"number": n, "stage": "train", "pod": f"old-{n}", "started": ago(900), "ended": ago(800), "exitCode": 70}
        for n in range(5, 15)
    ]
    status = training(attempts=listed, failures=14)
    entry = {"type": "Running", "status": "False", "reason": "Suspended", "lastTransitionTime": ago(60)}
    status["conditions"].append(entry)
    assert launched(look(fine_tune_job(status, retries=20))) == ("train", 2, 6)


def test_a_pod_that_is_done_is_told_of_together_with_its_job() -> None:
    running = look(fine_tune_job(training()), jobs=[stage_job("train")], pods=[pod("train", started=100)])
    done = pod("train", exit_code=0, started=100, ended=1)
    again = look(fine_tune_job(running.status.dump()), jobs=[stage_job("train")], pods=[done])
    assert again.status == running.status
    over = look(fine_tune_job(running.status.dump()), jobs=[stage_job("train", complete=True)], pods=[done])
    assert over.status.attempts is not None
    assert over.status.attempts[0].exit_code == 0
