"""Why no node takes a pod: impossible, busy, closed or elsewhere, and who holds what it needs."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from kubetune_api import names
from kubetune_api.resources import Resources
from kubetune_operator.observe.demand import Demand, demand_of
from kubetune_operator.observe.nodes import NodeView
from kubetune_operator.observe.occupancy import OTHERS, Occupancy, free, holders
from kubetune_operator.observe.unschedulable import Finding, find
from kubetune_operator.observe.waiting import Wait, why_pending
from unit.operator.builders import fine_tune_job, pod, snapshot, stage_job, training, views

GPU = "nvidia.com/gpu"
LABELS = {"nvidia.com/gpu.product": "H100", "nvidia.com/gpu.memory": "81559"}
RESOURCES = Resources.model_validate({"accelerator": {"count": 2, "product": "H100"}})
BUSY = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."


def node(name: str, gpus: int = 8, labels: dict[str, str] | None = None, **more: Any) -> NodeView:
    allocatable = {"cpu": "64", "memory": "512Gi"} | ({GPU: str(gpus)} if gpus else {})
    return NodeView(name, LABELS if labels is None else labels, allocatable, **more)


def demand(count: int = 2, **more: Any) -> Demand:
    spec: dict[str, Any] = {
        "containers": [{"resources": {"limits": {GPU: str(count), "cpu": "4", "memory": "16Gi"}}}],
        "tolerations": [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}],
    }
    found = demand_of(spec | more)
    assert found is not None
    return found


def required(*expressions: dict[str, Any]) -> dict[str, Any]:
    terms = {"nodeSelectorTerms": [{"matchExpressions": list(expressions)}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def holding(name: str, on: str, count: int, ours: bool = True, **status: Any) -> dict[str, Any]:
    labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_NAME: name, names.LABEL_KIND: "FineTuneJob"}
    return {
        "metadata": {"name": f"{name}-0", "namespace": "team-a", "labels": labels if ours else {}},
        "spec": {"nodeName": on, "containers": [{"resources": {"limits": {GPU: str(count)}}}]},
        "status": {"phase": "Running"} | status,
    }


def found(nodes: list[NodeView], wanted: Demand, said: str = BUSY, occupancy: Occupancy | None = None) -> Finding:
    return find(wanted, RESOURCES, nodes, occupancy, said)


def test_busy_nodes_name_who_holds_them_and_who_ends_first() -> None:
    pods = [holding("x", "a", 2), holding("y", "a", 6), holding("y", "b", 8)]
    ends = {"team-a/x": datetime(2026, 11, 24, 13, 20, tzinfo=UTC)}
    told = found([node("a"), node("b")], demand(), occupancy=Occupancy(holders(pods), complete=True).ending(ends))
    assert told == Finding(
        "Busy",
        "needs 2 x H100 on one node; 2 nodes have them, all in use by team-a/y (14), team-a/x (2); team-a/x should end "
        "first, about 2026-11-24 14:00 UTC by its own estimate. It starts when enough of them are free",
        ends["team-a/x"],
    )


def test_the_pods_of_other_people_are_counted_when_they_may_be_listed() -> None:
    pods = [holding("x", "a", 3), holding("theirs", "a", 4, ours=False)]
    all_of_them = Occupancy(holders(pods), complete=True)
    told = found([node("a")], demand(), occupancy=all_of_them).message
    assert "node a has them, with fewer than 2 free on each; in use by team-a/x (3), other pods (4)" in told
    ours = Occupancy(holders(pods[:1]))
    assert "all in use by team-a/x (3) and other pods" in found([node("a")], demand(), occupancy=ours).message


def test_a_small_estimate_more_or_less_does_not_change_the_message() -> None:
    held = Occupancy(holders([holding("x", "a", 8)]), complete=True)
    early = held.ending({"team-a/x": datetime(2026, 11, 24, 13, 5, tzinfo=UTC)})
    late = held.ending({"team-a/x": datetime(2026, 11, 24, 13, 50, tzinfo=UTC)})
    assert found([node("a")], demand(), occupancy=early).message == found([node("a")], demand(), occupancy=late).message


@pytest.mark.parametrize(
    ("nodes", "wanted", "says"),
    [
        (
            [node("a")],
            demand(16),
            "node a has 8 nvidia.com/gpu (asked: 16). To do: lower resources.accelerator",
        ),
        (
            [node("a", taints=[{"key": "team", "value": "b", "effect": "NoSchedule"}])],
            demand(),
            "node a has the taint team=b:NoSchedule, which is not tolerated. To do: add the taint to scheduling.toler",
        ),
        (
            [node("a")],
            demand(nodeSelector={"disk": "ssd"}),
            "node a has no label disk (asked: disk=ssd). To do: change scheduling.nodeSelector",
        ),
        (
            [node("a")],
            demand(affinity=required({"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"]})),
            "node a is no spot node. To do: set scheduling.spot: Allow",
        ),
        (
            [node("a"), node("b"), node("c", 16, labels={})],
            demand(16, affinity=required({"key": "nvidia.com/gpu.product", "operator": "In", "values": ["B200"]})),
            "Nearest: node c has no label that tells the product (asked: B200).",
        ),
        (
            [replace(node("a"), allocatable={GPU: "8", "cpu": "2", "memory": "512Gi"})],
            demand(),
            "node a has 2 cores (asked: 4 cores). To do: lower resources.cpu",
        ),
    ],
)
def test_what_no_node_can_ever_take_names_the_nearest_miss(nodes: list[NodeView], wanted: Demand, says: str) -> None:
    told = found(nodes, wanted)
    assert told.cause == "Impossible"
    assert says in told.message


def test_equal_misses_are_told_once() -> None:
    told = found([node("a", 4), node("b", 4), node("c", 1)], demand(8)).message
    assert "Nearest: 2 nodes like a: each has 4 nvidia.com/gpu (asked: 8); node c has 1 nvidia" in told


def test_taints_that_are_tolerated_or_only_tell_a_state_do_not_count() -> None:
    taints = [{"key": GPU, "value": "present", "effect": "NoSchedule"}]
    taints += [{"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"}]
    taints += [{"key": "other", "effect": "PreferNoSchedule"}]
    assert found([node("a", taints=taints)], demand()).cause == "Busy"


def test_cordoned_and_lost_nodes_are_named() -> None:
    told = found([node("a", unschedulable=True), node("b", ready=False), node("c", 1)], demand())
    assert told.cause == "Closed"
    assert "2 nodes could take it, but a is cordoned and b is not ready. `kubectl uncordon a`" in told.message


def test_a_volume_in_another_zone_is_no_lack_of_accelerators() -> None:
    told = found([node("a")], demand(), "0/1 nodes are available: 1 node(s) had volume node affinity conflict.")
    assert told.cause == "VolumeElsewhere"
    assert "WaitForFirstConsumer" in told.message


def test_gangs_need_them_on_each_node() -> None:
    gang = Resources.model_validate({"accelerator": {"count": 8, "memory": "80Gi"}, "nodes": 2})
    told = find(demand(8), gang, [node("a")], None, BUSY)
    assert told.message.startswith("needs 8 x nvidia.com/gpu with 80Gi each on each of 2 nodes; node a has them")


def test_pods_that_ended_hold_nothing() -> None:
    pods = [holding("x", "a", 2, phase="Succeeded"), holding("z", "a", 3), holding("theirs", "b", 1, ours=False)]
    held = Occupancy(holders(pods), complete=True)
    assert [holder.owner for holder in held.holders] == ["team-a/z", OTHERS]
    assert free(held, "a", GPU, node("a").amount(GPU)) == 5


def wait(state: dict[str, str]) -> Wait:
    entry = pod("train", started=None)
    entry["status"] |= {"phase": "Pending", "containerStatuses": [{"name": "trainer", "state": {"waiting": state}}]}
    seen = snapshot(fine_tune_job(training()), jobs=[stage_job("train")], pods=[entry])
    why = why_pending(seen, views([entry])[0], RESOURCES)
    assert why is not None
    return why


@pytest.mark.parametrize(
    ("state", "hopeless"),
    [
        ({"reason": "InvalidImageName"}, True),
        ({"reason": "ErrImageNeverPull"}, True),
        ({"reason": "ImagePullBackOff", "message": "ghcr.io/x: not found"}, True),
        ({"reason": "ErrImagePull", "message": "401 Unauthorized"}, True),
        ({"reason": "ImagePullBackOff", "message": "dial tcp: i/o timeout"}, False),
        ({"reason": "CreateContainerConfigError", "message": 'secret "t" not found'}, True),
        ({"reason": "CreateContainerConfigError", "message": "couldn't find key token in Secret team/t"}, True),
        ({"reason": "CreateContainerError", "message": "context deadline exceeded"}, False),
    ],
)
def test_hopeless_waits_are_told_from_those_that_may_end(state: dict[str, str], hopeless: bool) -> None:
    assert wait(state).hopeless is hopeless
