"""Discovery against documents of a real kube-apiserver."""

import pytest

from kubetune_local.apiserver import discovery
from unit.local.discovery_widgets import golden, registry

GOLDEN = golden("discovery_golden.json")
KUBECTL = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)


@pytest.mark.parametrize("path", GOLDEN["legacy"])
def test_tells_groups_and_resources_as_the_real_server_does(path: str) -> None:
    assert discovery.document(registry(), path, "application/json") == GOLDEN["legacy"][path]


@pytest.mark.parametrize("group", GOLDEN["aggregated"])
def test_tells_all_in_one_document_as_the_real_server_does(group: str) -> None:
    body = discovery.document(registry(), "/apis", KUBECTL)
    assert body is not None
    assert body["kind"] == "APIGroupDiscoveryList"
    items = {item["metadata"]["name"]: item for item in body["items"]}
    assert items[group] == GOLDEN["aggregated"][group]


def test_lists_custom_groups_after_the_built_in_ones() -> None:
    body = discovery.document(registry(), "/apis", "application/json")
    assert body is not None
    names = [group["name"] for group in body["groups"]]
    assert names[0] == "apps"
    assert names[-1] == "example.io"
    assert body["groups"][-1]["preferredVersion"] == {"groupVersion": "example.io/v1", "version": "v1"}


def test_the_core_group_stands_apart() -> None:
    body = discovery.document(registry(), "/api", KUBECTL)
    assert body is not None
    assert [item["metadata"] for item in body["items"]] == [{}]
    legacy = discovery.document(registry(), "/api", "application/json")
    assert legacy is not None
    assert legacy["versions"] == ["v1"]


@pytest.mark.parametrize("path", ["/apis/nowhere.io", "/apis/batch/v9", "/api/v2", "/apis/batch/v1/jobs", "/other"])
def test_has_no_document_elsewhere(path: str) -> None:
    assert discovery.document(registry(), path, "application/json") is None


@pytest.mark.parametrize(
    ("accept", "aggregated"),
    [
        (KUBECTL, True),
        ("application/json", False),
        ("application/json, application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io", False),
        ("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json", False),
        ("application/vnd.other, application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", True),
        ("*/*", False),
        ("", False),
    ],
)  # fmt: skip
def test_the_first_known_form_in_accept_decides(accept: str, aggregated: bool) -> None:
    body = discovery.document(registry(), "/apis", accept)
    assert body is not None
    assert (body["kind"] == "APIGroupDiscoveryList") is aggregated
    assert (discovery.content_type(body) != "application/json") is aggregated


def test_a_removed_kind_is_no_longer_listed() -> None:
    served = registry()
    assert discovery.document(served, "/apis/example.io", "") is not None
    served.remove("example.io", "widgets")
    assert discovery.document(served, "/apis/example.io", "") is None


def test_orders_versions_by_stability() -> None:
    names = ["v1alpha1", "foo", "v2", "v10", "v1beta2", "v1", "v11beta1", "bar"]
    ordered = ["v10", "v2", "v1", "v11beta1", "v1beta2", "v1alpha1", "bar", "foo"]
    assert sorted(names, key=discovery.priority, reverse=True) == ordered
