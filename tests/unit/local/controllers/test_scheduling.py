"""Which node a pod gets, and the words that say why it gets none."""

from decimal import Decimal
from typing import Any

import pytest

from kubetune_local.controllers.scheduling.affinity import selects, tolerates
from kubetune_local.controllers.scheduling.claims import SELECTED_NODE, Claims, Storage, claims_of
from kubetune_local.controllers.scheduling.filters import why_not
from kubetune_local.controllers.scheduling.message import Reasons, for_all, unschedulable
from kubetune_local.controllers.scheduling.requests import requests_of

JSON = dict[str, Any]

GPU = "nvidia.com/gpu"
LABELS = {"kubernetes.io/hostname": "local", f"{GPU}.product": "A10", f"{GPU}.memory": "24576"}
TAINT = {"key": GPU, "value": "present", "effect": "NoSchedule"}
AFFINITY = "node(s) didn't match Pod's node affinity/selector"


def node(name: str = "local", *, labels: JSON | None = None, **spec: Any) -> JSON:
    """Return a node of 2 CPUs, 4 GiB and one GPU."""
    amounts = {"cpu": "2", "memory": "4Gi", "pods": "10", GPU: "1"}
    meta = {"name": name, "labels": LABELS if labels is None else labels}
    return {"metadata": meta, "spec": spec, "status": {"allocatable": amounts}}


def container(**requests: str) -> JSON:
    """Return a container that asks for resources; `gpu` is short for the one with a long name."""
    named = {GPU if name == "gpu" else name: amount for name, amount in requests.items()}
    return {"name": "c", "resources": {"requests": named}}


def pod(name: str = "p", spec: JSON | None = None, **requests: str) -> JSON:
    """Return a pod of one container."""
    return {
        "metadata": {"name": name, "namespace": "n"},
        "spec": {"containers": [container(**requests)], **(spec or {})},
    }


def with_affinity(selector: JSON) -> JSON:
    """Return the spec of a pod that has to go to nodes of a selector."""
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": selector}}}


def requiring(*expressions: JSON, fields: tuple[JSON, ...] = ()) -> JSON:
    """Return a node selector of one term."""
    term = {"matchExpressions": list(expressions), "matchFields": list(fields)}
    return {"nodeSelectorTerms": [{name: entries for name, entries in term.items() if entries}]}


def expression(key: str, operator: str, *values: str) -> JSON:
    """Return a requirement of a node selector."""
    return {"key": key, "operator": operator, "values": list(values)}


# Filters.

NEEDS_H100 = {"nodeSelector": {f"{GPU}.product": "H100"}}
WANTS_A10 = {"nodeSelector": {f"{GPU}.product": "A10"}}
BIG = requiring(expression(f"{GPU}.memory", "Gt", "40000"))
NEEDS_BIG = with_affinity(BIG)
NEEDS_OTHER = with_affinity(requiring(fields=(expression("metadata.name", "In", "other"),)))
NEVER_MIND = {"tolerations": [{"key": GPU, "operator": "Exists"}]}


@pytest.mark.parametrize(
    ("asked", "on", "why"),
    [
        (pod(), node(), ()),
        (pod(cpu="2", memory="4Gi", gpu="1"), node(), ()),
        (pod(cpu="2001m"), node(), ("Insufficient cpu",)),
        (
            pod(cpu="3", memory="5Gi", gpu="2"),
            node(),
            ("Insufficient cpu", "Insufficient memory", f"Insufficient {GPU}"),
        ),
        (pod(spec=NEEDS_H100), node(), (AFFINITY,)),
        (pod(spec=WANTS_A10), node(), ()),
        (pod(spec=NEEDS_BIG), node(), (AFFINITY,)),
        (pod(spec=NEEDS_OTHER), node(), ("node(s) didn't satisfy plugin(s) [NodeAffinity]",)),
        (pod(spec=NEEDS_OTHER), node("other"), ()),
        (pod(spec=NEEDS_H100, cpu="3"), node(), (AFFINITY,)),
        (pod(), node(taints=[TAINT]), ("node(s) had untolerated taint(s)",)),
        (pod(spec=NEVER_MIND), node(taints=[TAINT]), ()),
        (pod(), node(taints=[{**TAINT, "effect": "PreferNoSchedule"}]), ()),
        (pod(), node(unschedulable=True), ("node(s) were unschedulable",)),
        (pod(spec={"tolerations": [{"operator": "Exists"}]}), node(unschedulable=True), ()),
        (pod(spec={"nodeName": "other"}), node(), ("node(s) didn't match the requested node name",)),
    ],
)
def test_a_node_is_refused_for_its_first_shortcoming(asked: JSON, on: JSON, why: tuple[str, ...]) -> None:
    verdict = why_not(asked, on, [], [])
    assert (verdict.texts if verdict else ()) == why


def test_what_others_use_is_not_there_and_would_be_if_they_left() -> None:
    taken = why_not(pod(cpu="1", gpu="1"), node(), [pod("other", gpu="1")], [])
    assert taken == Reasons((f"Insufficient {GPU}",), helped_by_leaving=True)
    assert why_not(pod(gpu="2"), node(), [pod("other")], []) == Reasons((f"Insufficient {GPU}",))


def test_a_node_has_room_for_so_many_pods() -> None:
    full = why_not(pod(), node(), [pod(str(number)) for number in range(10)], [])
    assert full == Reasons(("Too many pods",), helped_by_leaving=True)


def test_a_pod_goes_where_its_volume_is() -> None:
    volume = {"spec": {"nodeAffinity": {"required": requiring(expression("kubernetes.io/hostname", "In", "other"))}}}
    verdict = why_not(pod(), node(), [], [volume])
    assert verdict == Reasons(("node(s) didn't match PersistentVolume's node affinity",))


# Requests.


def test_initial_containers_run_one_by_one_and_sidecars_all_along() -> None:
    sidecar = container(cpu="100m") | {"restartPolicy": "Always"}
    asked = pod(spec={"initContainers": [container(cpu="1"), sidecar, container(cpu="2")]}, cpu="500m", memory="1Gi")
    assert requests_of(asked) == {"cpu": Decimal("2.1"), "memory": Decimal(2**30)}
    asked["spec"]["containers"].append(container(cpu="3"))
    assert requests_of(asked)["cpu"] == Decimal("3.6")


def test_a_request_of_the_whole_pod_comes_first_and_overhead_on_top() -> None:
    spec = {"resources": {"requests": {"cpu": "3"}}, "overhead": {"cpu": "250m"}}
    assert requests_of(pod(spec=spec, cpu="1", memory="1Gi")) == {"cpu": Decimal("3.25"), "memory": Decimal(2**30)}


# Selectors, taints.


@pytest.mark.parametrize(
    ("requirement", "fits"),
    [
        (expression(f"{GPU}.product", "In", "H100", "A10"), True),
        (expression(f"{GPU}.product", "NotIn", "A10"), False),
        (expression("missing", "NotIn", "A10"), True),
        (expression(f"{GPU}.product", "Exists"), True),
        (expression("missing", "DoesNotExist"), True),
        (expression(f"{GPU}.memory", "Gt", "24575"), True),
        (expression(f"{GPU}.memory", "Gt", "24576"), False),
        (expression(f"{GPU}.memory", "Lt", "24577"), True),
        (expression(f"{GPU}.product", "Gt", "1"), False),
        (expression("missing", "Lt", "1"), False),
    ],
)
def test_a_requirement_fits_or_not(requirement: JSON, fits: bool) -> None:
    assert selects(requiring(requirement), node()) is fits


def test_terms_are_alternatives_and_an_empty_one_selects_nothing() -> None:
    here = requiring(fields=(expression("metadata.name", "In", "local"),))
    assert selects(here, node())
    assert not selects(here, node("other"))
    assert not selects({"nodeSelectorTerms": [{}]}, node())
    assert selects({"nodeSelectorTerms": [{}, *here["nodeSelectorTerms"]]}, node())
    assert selects(None, node())


@pytest.mark.parametrize(
    ("toleration", "covers"),
    [
        ({"key": GPU, "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": GPU, "value": "present"}, True),
        ({"key": GPU, "value": "absent"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": GPU, "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": GPU, "operator": "Exists", "effect": "NoSchedule"}, True),
    ],
)
def test_a_toleration_covers_a_taint_or_not(toleration: JSON, covers: bool) -> None:
    assert tolerates(toleration, TAINT) is covers


# Claims.


def storage(*claims: JSON) -> Storage:
    """Return a cluster's storage with two classes: `late` binds when there is a pod, `early` at once."""
    volume = {"metadata": {"name": "v"}, "spec": {}}
    modes = {"late": {"volumeBindingMode": "WaitForFirstConsumer"}, "early": {"volumeBindingMode": "Immediate"}}
    named = {claim["metadata"]["name"]: claim for claim in claims}
    return Storage(lambda _, name: named.get(name), lambda name: volume if name == "v" else None, modes.get)


def claim(phase: str = "Pending", class_: str = "late", volume: str = "", **meta: Any) -> JSON:
    """Return the claim `data`."""
    spec = {"storageClassName": class_} | ({"volumeName": volume} if volume else {})
    return {"metadata": {"name": "data", **meta}, "spec": spec, "status": {"phase": phase}}


MOUNTS = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "e", "emptyDir": {}}]}


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ([], 'persistentvolumeclaim "data" not found'),
        ([claim(deletionTimestamp="2026-01-01T00:00:00Z")], 'persistentvolumeclaim "data" is being deleted'),
        ([claim("Lost", volume="w")], 'persistentvolumeclaim "data" bound to non-existent persistentvolume "w"'),
        ([claim(class_="early")], "pod has unbound immediate PersistentVolumeClaims"),
        ([claim()], ""),
        ([claim("Bound", volume="v")], ""),
    ],
)
def test_a_claim_may_stand_in_the_way(claims: list[JSON], problem: str) -> None:
    assert claims_of(pod(spec=MOUNTS), storage(*claims)).problem == problem


def test_a_claim_waits_for_the_node_of_its_pod() -> None:
    waiting = claim(annotations={SELECTED_NODE: "local"})
    assert claims_of(pod(spec=MOUNTS), storage(waiting)) == Claims(waiting=[waiting])
    bound = claims_of(pod(spec=MOUNTS), storage(claim("Bound", volume="v")))
    assert [each["metadata"]["name"] for each in bound.volumes] == ["v"]


def test_a_claim_of_the_pod_itself_bears_its_name() -> None:
    own = {"volumes": [{"name": "scratch", "ephemeral": {}}]}
    assert claims_of(pod(spec=own), storage()).problem == 'persistentvolumeclaim "p-scratch" not found'


# Words.

NO_HELP = (
    "no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
)
NO_VICTIMS = (
    "no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([], "no nodes available to schedule pods"),
        ([Reasons((f"Insufficient {GPU}",))], f"0/1 nodes are available: 1 Insufficient {GPU}. {NO_HELP}"),
        ([Reasons(("Insufficient cpu",), True)], f"0/1 nodes are available: 1 Insufficient cpu. {NO_VICTIMS}"),
        (
            [Reasons(("Insufficient memory", "Insufficient cpu")), Reasons(("Insufficient cpu",), True)],
            "0/2 nodes are available: 1 Insufficient memory, 2 Insufficient cpu. no new claims to deallocate, "
            "preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, "
            "1 Preemption is not helpful for scheduling.",
        ),
    ],
)
def test_the_message_counts_nodes_for_each_reason(nodes: list[Reasons], message: str) -> None:
    assert unschedulable(nodes) == message


def test_a_reason_that_is_not_about_nodes_is_told_once_for_all() -> None:
    message = for_all(1, 'persistentvolumeclaim "data" not found')
    assert message == '0/1 nodes are available: persistentvolumeclaim "data" not found. not found'
