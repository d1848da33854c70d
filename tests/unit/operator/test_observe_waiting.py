"""Why a pod does not run: reason, facts and remedy in one message."""

from typing import Any

import pytest

from kubetune_operator.observe import EventView, Tuning
from kubetune_operator.observe.nodes import NodeView, inventory, node_view
from kubetune_operator.observe.waiting import why_pending
from unit.operator.builders import (
    Manifest,
    ago,
    conditions,
    fine_tune_job,
    look,
    message,
    pod,
    snapshot,
    stage_job,
    stored,
    training,
    unschedulable,
)

CPU_ONLY = NodeView("node-1", {}, {"cpu": "2", "memory": "8Gi"})
H100 = NodeView("node-2", {"nvidia.com/gpu.product": "H100", "nvidia.com/gpu.memory": "81559"}, {"nvidia.com/gpu": "8"})


def waiting(nodes: list[NodeView] | None, **accelerator: Any) -> str:
    seen = look(
        fine_tune_job(training(), resources={"accelerator": accelerator}),
        jobs=[stage_job("train")],
        pods=[unschedulable("train")],
        nodes=nodes,
    )
    assert conditions(seen)["Progressing"] == ("False", "Unschedulable")
    assert conditions(seen)["Admitted"] == ("False", "Unschedulable")
    assert seen.status.phase == "Queued"
    assert seen.requeue_after == 5
    return message(seen, "Progressing")


def test_says_that_no_node_offers_the_accelerator_and_what_to_do() -> None:
    assert waiting([CPU_ONLY]) == (
        "needs 1 x nvidia.com/gpu: no node offers it (1 node: cpu-only). "
        "Add a node with nvidia.com/gpu, or set resources.accelerator.count: 0"
    )


def test_says_that_no_node_has_enough_of_them() -> None:
    assert waiting([H100], count=16) == (
        "needs 16 x nvidia.com/gpu on one node: no node can ever take it (1 node: 8 x H100). Nearest: node node-2 "
        "has 8 nvidia.com/gpu (asked: 16). To do: lower resources.accelerator.count, or add a larger node"
    )


def test_says_that_no_node_has_the_product() -> None:
    assert "Nearest: node node-2 has H100 (asked: B200). To do: change resources.accelerator.product" in waiting(
        [H100], product="B200"
    )


def test_a_card_of_80_gb_fits_80_gib_asked_for() -> None:
    assert "all in use by other pods" in waiting([H100], memory="80Gi")
    assert "node-2 has accelerators of 80Gi (asked: more)" in waiting([H100], memory="94Gi")


def test_without_the_right_to_list_nodes_the_scheduler_is_quoted() -> None:
    assert "(scheduler: 0/1 nodes are available)" in waiting(None)


def test_a_stage_without_accelerators_waits_for_cores_and_memory() -> None:
    seen = look(fine_tune_job(stored()), jobs=[stage_job("prepare")], pods=[unschedulable("prepare")], nodes=[CPU_ONLY])
    assert message(seen, "Progressing") == (
        "needs 4 cores and 16Gi of memory: no node can ever take it (1 node: cpu-only). Nearest: node "
        "node-1 has 2 cores (asked: 4 cores) and has 8Gi of memory (asked: 16Gi of memory). To do: lower resources.cpu"
        ", or add a larger node; lower resources.memory, or add a larger node"
    )


def test_a_claim_that_does_not_exist_is_named() -> None:
    said = '0/1 nodes are available: persistentvolumeclaim "datasets" not found. not found'
    seen = look(fine_tune_job(stored()), jobs=[stage_job("prepare")], pods=[unschedulable("prepare", said)])
    assert conditions(seen)["Progressing"] == ("False", "ClaimNotFound")
    assert message(seen, "Progressing") == (
        "there is no PersistentVolumeClaim datasets in namespace team. "
        "Create it, or correct the pvc:// uri or workspace.claimName that names it"
    )


def test_a_claim_that_is_not_bound_is_no_lack_of_cores() -> None:
    said = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    seen = look(fine_tune_job(stored()), jobs=[stage_job("prepare")], pods=[unschedulable("prepare", said)])
    assert conditions(seen)["Progressing"] == ("False", "VolumePending")
    event = EventView("ProvisioningFailed", 'storageclass "fast" not found', "PersistentVolumeClaim")
    told = look(
        fine_tune_job(stored()), jobs=[stage_job("prepare")], pods=[unschedulable("prepare", said)], events=[event]
    )
    assert 'storageclass "fast" not found; check workspace.storageClassName' in message(told, "Progressing")


@pytest.mark.parametrize(
    ("state", "reason", "says"),
    [
        ({"reason": "ImagePullBackOff", "message": "not found"}, "ImagePullFailed", "not found"),
        (
            {"reason": "CreateContainerConfigError", "message": 'secret "t" not found'},
            "ContainerConfigFailed",
            "Secrets",
        ),
    ],
)
def test_containers_that_cannot_start_say_why(state: dict[str, str], reason: str, says: str) -> None:
    entry = pod("prepare", started=None)
    entry["status"] |= {"phase": "Pending", "containerStatuses": [{"name": "trainer", "state": {"waiting": state}}]}
    seen = look(fine_tune_job(stored()), jobs=[stage_job("prepare")], pods=[entry])
    assert conditions(seen)["Progressing"] == ("False", reason)
    assert says in message(seen, "Progressing")


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (EventView("FailedCreate", "pods is forbidden: exceeded quota: q", "Job"), "QuotaExceeded"),
        (EventView("FailedCreate", "violates PodSecurity restricted", "Job"), "PodForbidden"),
        (EventView("FailedBinding", "no storage class is set", "PersistentVolumeClaim"), "VolumePending"),
    ],
)
def test_events_explain_a_job_without_pods(event: EventView, reason: str) -> None:
    seen = look(fine_tune_job(stored()), jobs=[stage_job("prepare")], events=[event])
    assert conditions(seen)["Progressing"] == ("False", reason)
    assert event.message in message(seen, "Progressing")


@pytest.mark.parametrize(
    ("message", "hopeless", "says"),
    [
        (
            "exceeded quota: q, requested: cpu=2,memory=1Gi, used: cpu=3,memory=0, limited: cpu=4,memory=8Gi",
            False,
            "free quota",
        ),
        ("exceeded quota: q, requested: cpu=8, used: cpu=0, limited: cpu=4", True, "more than the whole quota"),
        ('admission webhook "p.example" denied the request: no', True, "a webhook of this cluster refuses"),
        ("violates PodSecurity", True, "Pod Security level"),
    ],
)
def test_a_pod_that_may_not_be_made_says_whether_waiting_helps(message: str, hopeless: bool, says: str) -> None:
    seen = snapshot(
        fine_tune_job(stored()), jobs=[stage_job("prepare")], events=[EventView("FailedCreate", message, "Job")]
    )
    why = why_pending(seen, None, seen.subject.spec.resources)
    assert why is not None
    assert (why.hopeless, says in why.message) == (hopeless, True)


def test_equal_nodes_are_counted_together() -> None:
    assert inventory([CPU_ONLY, H100, CPU_ONLY]) == "1 node: 8 x H100; 2 nodes: cpu-only"
    assert inventory([]) == "the cluster has no nodes"


def test_a_node_is_read_from_its_manifest() -> None:
    node = {"metadata": {"name": "n"}, "status": {"allocatable": {"amd.com/gpu": "2", "cpu": "8"}}}
    assert node_view(node).describe() == "2 x amd.com/gpu"


def missing_secret(waited: float) -> Manifest:
    entry = pod("prepare", started=None)
    state = {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "t" not found'}}
    entry["metadata"]["creationTimestamp"] = ago(waited + 60)
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": ago(waited)}
    containers = [{"name": "trainer", "state": state}]
    entry["status"] |= {"phase": "Pending", "containerStatuses": containers, "conditions": [scheduled]}
    return entry


@pytest.mark.parametrize(("waited", "over"), [(3599, False), (3601, True)])
def test_what_waiting_cannot_mend_ends_the_run_after_a_time(waited: float, over: bool) -> None:
    seen = look(fine_tune_job(stored()), jobs=[stage_job("prepare")], pods=[missing_secret(waited)])
    assert conditions(seen)["Failed"] == (("True", "ContainerConfigFailed") if over else ("Unknown", "Pending"))
    assert len(seen.actions.stop_jobs) == (1 if over else 0)
    assert 'secret "t" not found' in message(seen, "Progressing")
    assert ("It waited for 1h" in message(seen, "Progressing")) == over


def test_the_patience_is_a_setting_and_what_may_mend_itself_has_all_of_it() -> None:
    impatient = Tuning(hopeless_after=2)
    seen = look(fine_tune_job(stored()), jobs=[stage_job("prepare")], pods=[missing_secret(3)], tuning=impatient)
    assert conditions(seen)["Failed"] == ("True", "ContainerConfigFailed")
    busy = unschedulable("prepare", "0/1 nodes are available: 1 Insufficient cpu.")
    busy["metadata"]["creationTimestamp"] = ago(99999)
    seen = look(fine_tune_job(stored()), jobs=[stage_job("prepare")], pods=[busy], tuning=impatient)
    assert conditions(seen)["Failed"] == ("Unknown", "Pending")
    assert not seen.actions.stop_jobs


def test_a_job_whose_pods_are_forbidden_waits_since_it_was_made() -> None:
    job, event = stage_job("prepare"), EventView("FailedCreate", "violates PodSecurity restricted", "Job")
    for waited, over in ((3500, False), (3700, True)):
        job["metadata"]["creationTimestamp"] = ago(waited)
        seen = look(fine_tune_job(stored()), jobs=[job], events=[event])
        assert conditions(seen)["Failed"][0] == ("True" if over else "Unknown")
