"""Several pods that train together: one attempt, told by the pod that ended it."""

from typing import Any

import pytest

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
    training,
)

NODES = {"nodes": 2, "accelerator": {"count": 4}}
DISRUPTED = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}


def member(index: int, run: int = 1, *, deleted: float | None = None, **more: Any) -> Manifest:
    """Return one pod of a gang; `deleted` is how many seconds ago its deletion was asked for."""
    entry = pod("train", run, **more)
    name = entry["metadata"]["name"].replace("-0-abcde", f"-{index}-abcde")
    entry["metadata"] |= {"name": name, "uid": f"uid-{name}"}
    entry["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] = str(index)
    if deleted is not None:
        entry["metadata"] |= {"deletionTimestamp": ago(deleted - 30), "deletionGracePeriodSeconds": 30}
    return entry


def gang(status: Manifest | None = None, **spec: Any) -> Any:
    return fine_tune_job(status or training(), resources=NODES, workspace={"claimName": "shared"}, **spec)


def test_all_pods_are_one_attempt_that_holds_the_accelerators_of_all() -> None:
    seen = look(gang(), jobs=[stage_job("train")], pods=[member(0, started=100), member(1, started=90)])
    assert conditions(seen)["Running"] == ("True", "Training")
    assert message(seen, "Running") == "2 pods run on node node-1"
    assert seen.status.attempts is not None
    assert [entry.started for entry in seen.status.attempts] == [ago(100)]
    ended = [member(0, exit_code=0, started=100, ended=10), member(1, exit_code=0, started=90, ended=12)]
    over = look(gang(seen.status.dump()), jobs=[stage_job("train", complete=True)], pods=ended)
    assert (over.status.active_seconds, over.status.accelerator_seconds) == (90, 720)


def test_it_runs_only_when_all_of_them_do() -> None:
    waits = member(1, phase="Pending", started=None)
    seen = look(gang(), jobs=[stage_job("train")], pods=[member(0), waits])
    assert conditions(seen)["Running"] == ("False", "Pending")
    alone = look(gang(), jobs=[stage_job("train")], pods=[member(0)])
    assert conditions(alone)["Running"] == ("False", "Pending")


def test_the_pod_that_finds_no_node_is_told_of() -> None:
    stuck = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}]
    waits = member(0, phase="Pending", started=None, conditions=stuck)
    seen = look(gang(), jobs=[stage_job("train")], pods=[waits, member(1)])
    assert conditions(seen)["Progressing"] == ("False", "Unschedulable")


@pytest.mark.parametrize(
    ("pods", "code", "failures"),
    [
        pytest.param(
            [member(0, exit_code=75, ended=98, deleted=99), member(1, exit_code=70, ended=100)],
            70,
            1,
            id="one crashed, the other was stopped after it",
        ),
        pytest.param(
            [member(0, exit_code=70, ended=99), member(1, exit_code=76, ended=100)],
            76,
            1,
            id="the first to fail, not the ones that die of it",
        ),
        pytest.param(
            [member(0, exit_code=70, ended=95), member(1, exit_code=75, ended=90, deleted=100)],
            75,
            None,
            id="a person deleted one, the other missed it",
        ),
        pytest.param(
            [
                member(0, exit_code=70, ended=95),
                member(
                    1, exit_code=137, ended=60, deleted=100, conditions=[DISRUPTED | {"lastTransitionTime": ago(100)}]
                ),
            ],
            137,
            None,
            id="one was pre-empted, the other missed it",
        ),
        pytest.param(
            [member(0, exit_code=137, ended=98, deleted=100), member(1, exit_code=70, ended=100)],
            70,
            1,
            id="in the same second the one that was not stopped",
        ),
    ],
)
def test_the_cause_decides_what_it_costs_and_all_begin_anew_once(
    pods: list[Manifest], code: int, failures: int | None
) -> None:
    job = stage_job("train", failed="PodFailurePolicy")
    job["status"]["failed"] = 2
    seen = look(gang(retries=3), jobs=[job], pods=pods)
    assert seen.status.attempts is not None
    assert [entry.exit_code for entry in seen.status.attempts] == [code]
    assert seen.status.failures == failures
    assert launched(seen) == ("train", 2, 3 - (failures or 0))
    assert (seen.status.disruptions or 0) == (0 if failures else 1)


def test_what_nothing_can_mend_counts_before_a_crash_of_the_same_second() -> None:
    pods = [member(0, exit_code=70, ended=100), member(1, exit_code=78, ended=100)]
    seen = look(gang(), jobs=[stage_job("train", failed="BackoffLimitExceeded")], pods=pods)
    assert conditions(seen)["Failed"] == ("True", "Diverged")


def test_an_attempt_is_followed_although_its_cause_is_another_pod() -> None:
    running = look(gang(), jobs=[stage_job("train")], pods=[member(0), member(1)])
    pods = [member(0, exit_code=75, ended=99, deleted=99), member(1, exit_code=70, ended=100)]
    jobs = [stage_job("train", failed="PodFailurePolicy")]
    ended = look(gang(running.status.dump()), jobs=jobs, pods=pods)
    assert ended.status.attempts is not None
    assert [(entry.number, entry.pod) for entry in ended.status.attempts] == [(1, pods[1]["metadata"]["name"])]
    again = look(gang(ended.status.dump()), jobs=jobs, pods=pods)
    assert again.status.attempts == ended.status.attempts
    assert again.status.failures == 1


def test_pods_of_a_queue_that_let_the_job_in_again_are_another_attempt() -> None:
    old = [
        member(0, exit_code=75, started=500, ended=400, deleted=410),
        member(1, exit_code=75, started=500, ended=401),
    ]
    fresh = [member(0, started=100), member(1, started=100)]
    for entry in fresh:
        entry["metadata"]["name"] += "x"
    first = look(gang(), jobs=[stage_job("train")], pods=old)
    seen = look(gang(first.status.dump()), jobs=[stage_job("train")], pods=[*old, *fresh])
    assert seen.status.attempts is not None
    assert [(entry.number, entry.exit_code) for entry in seen.status.attempts] == [(1, 75), (2, None)]
    assert conditions(seen)["Running"] == ("True", "Training")
