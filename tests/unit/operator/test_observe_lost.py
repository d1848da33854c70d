"""Pods on nodes that no longer answer."""

from typing import Any

import pytest

from kubetune_operator.observe import EventView, Tuning
from kubetune_operator.observe.nodes import NodeView
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
from unit.operator.test_observe_gang import gang, member

GPU = {"nvidia.com/gpu": "8"}
UNREACHABLE = NodeView("node-1", {}, GPU, ready=False, taints=({"key": "node.kubernetes.io/unreachable"},))
NOT_READY = NodeView("node-1", {}, GPU, ready=False)
HEALTHY, OTHER = NodeView("node-1", {}, GPU), NodeView("node-2", {}, GPU)
TRAIN = stage_job("train")


def stopping(asked: float, grace: float, **more: Any) -> Manifest:
    """Return a running pod whose deletion was asked for some seconds ago."""
    entry = pod("train", **more)
    entry["metadata"] |= {"deletionTimestamp": ago(asked - grace), "deletionGracePeriodSeconds": int(grace)}
    return entry


@pytest.mark.parametrize(
    ("asked", "nodes", "lost"),
    [
        pytest.param(100, [UNREACHABLE, OTHER], False, id="its node is silent, but not for long"),
        pytest.param(130, [UNREACHABLE, OTHER], True, id="its node is silent"),
        pytest.param(130, [OTHER], True, id="its node is gone"),
        pytest.param(130, [HEALTHY, OTHER], False, id="it still has its grace"),
        pytest.param(130, [NOT_READY, OTHER], False, id="its kubelet is heard of"),
        pytest.param(410, [HEALTHY, OTHER], False, id="it should have ended, but not for long"),
        pytest.param(430, [HEALTHY, OTHER], True, id="it should have ended long ago"),
        pytest.param(430, None, True, id="long ago, and nodes may not be listed"),
    ],
)
def test_a_pod_is_given_up_after_a_grace(asked: float, nodes: list[NodeView] | None, lost: bool) -> None:
    seen = look(fine_tune_job(training(), retries=0), jobs=[TRAIN], pods=[stopping(asked, 300)], nodes=nodes)
    assert launched(seen) == (("train", 2, 0) if lost else None)
    if lost:
        assert seen.must_be_first
        assert seen.actions.stop_jobs == [TRAIN["metadata"]["name"]]
        assert seen.status.attempts is not None
        assert (seen.status.attempts[0].reason, seen.status.attempts[0].ended) == ("NodeLost", ago(0))
        assert (seen.status.failures, seen.status.disruptions) == (None, 1)
        assert seen.actions.launch is not None
        assert seen.actions.launch.avoided_nodes == (() if nodes is None else ("node-1",))


def test_the_grace_is_a_setting() -> None:
    tuning = Tuning(node_lost_grace=10)
    seen = look(fine_tune_job(training()), jobs=[TRAIN], pods=[stopping(50, 30)], tuning=tuning)
    assert launched(seen) == ("train", 2, 3)


def test_a_crash_after_the_decision_makes_the_same_run_and_stops_the_old_job() -> None:
    pods = [stopping(430, 300)]
    decided = look(fine_tune_job(training()), jobs=[TRAIN], pods=pods, nodes=[HEALTHY, OTHER])
    again = look(fine_tune_job(decided.status.dump()), jobs=[TRAIN], pods=pods, nodes=[HEALTHY, OTHER])
    assert launched(again) == launched(decided)
    assert again.actions.launch == decided.actions.launch
    assert again.actions.stop_jobs == [TRAIN["metadata"]["name"]]
    assert again.status.disruptions == 1


def test_the_pod_that_was_given_up_is_not_counted_again_when_its_node_comes_back() -> None:
    decided = look(fine_tune_job(training()), jobs=[TRAIN], pods=[stopping(430, 300)], nodes=[HEALTHY, OTHER])
    back = pod("train", exit_code=75, started=500, ended=1)
    back["metadata"]["deletionTimestamp"] = ago(130)
    seen = look(fine_tune_job(decided.status.dump()), jobs=[stage_job("train", 2)], pods=[back, pod("train", 2)])
    assert conditions(seen)["Running"] == ("True", "Training")
    assert seen.status.disruptions == 1
    assert seen.status.attempts is not None
    assert [entry.reason for entry in seen.status.attempts] == ["NodeLost", None]


def test_while_it_may_still_come_back_people_are_told_what_happens_next() -> None:
    seen = look(fine_tune_job(training()), jobs=[TRAIN], pods=[stopping(350, 300)], nodes=[HEALTHY])
    assert conditions(seen)["Progressing"] == ("False", "NodeLost")
    assert "given up in 71 s" in message(seen, "Progressing")
    assert seen.requeue_after == 71


def test_lost_nodes_are_bounded() -> None:
    subject = fine_tune_job(training(disruptions=50))
    seen = look(subject, jobs=[TRAIN], pods=[stopping(430, 300)], nodes=[HEALTHY])
    assert conditions(seen)["Failed"] == ("True", "TooManyDisruptions")


def test_a_suspended_run_does_not_wait_for_a_lost_pod() -> None:
    seen = look(fine_tune_job(training(), suspend=True), pods=[stopping(430, 300)])
    assert conditions(seen)["Progressing"] == ("False", "Suspended")
    assert "set suspend: false" in message(seen, "Progressing").lower()


def test_the_others_of_a_gang_end_first() -> None:
    lost = member(1, deleted=430)
    lost["metadata"]["deletionGracePeriodSeconds"] = 30
    waits = look(gang(), jobs=[TRAIN], pods=[member(0), lost], nodes=[HEALTHY, OTHER])
    assert waits.actions.launch is None
    assert waits.actions.stop_jobs == [TRAIN["metadata"]["name"]]
    stopped = member(0, exit_code=70, ended=20)
    seen = look(
        gang(retries=0), jobs=[TRAIN], pods=[stopped, lost], nodes=[HEALTHY, OTHER, NodeView("node-3", {}, GPU)]
    )
    assert launched(seen) == ("train", 2, 0)
    assert seen.status.attempts is not None
    assert [entry.reason for entry in seen.status.attempts] == ["NodeLost"]


def test_a_volume_that_is_still_attached_to_a_lost_node_has_a_remedy() -> None:
    lost = {"number": 1, "stage": "train", "pod": "x", "started": ago(900), "ended": ago(500), "reason": "NodeLost"}
    event = EventView("FailedAttachVolume", 'Multi-Attach error for volume "pvc-1"', "Pod")
    waits = pod("train", 2, phase="Pending", started=None)
    subject = fine_tune_job(training(runs=2, attempts=[lost]))
    seen = look(subject, jobs=[stage_job("train", 2)], pods=[waits], events=[event])
    assert conditions(seen)["Progressing"] == ("False", "MountFailed")
    assert "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute" in message(seen, "Progressing")
