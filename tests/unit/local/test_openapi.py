"""OpenAPI v3 against documents of a real kube-apiserver."""

from typing import Any

import pytest

from kubetune_local.apiserver import openapi
from unit.local.discovery_widgets import golden, registry

GOLDEN = golden("openapi_golden.json")
WIDGETS = "apis/example.io/v1"


def document(path: str) -> dict[str, Any]:
    found = openapi.v3_group(registry(), path)
    assert found is not None
    return found


@pytest.mark.parametrize("name", GOLDEN["schemas"])
def test_publishes_the_schemas_of_a_custom_kind_as_the_real_server_does(name: str) -> None:
    assert document(WIDGETS)["components"]["schemas"][name] == GOLDEN["schemas"][name]


def test_carries_every_schema_that_is_referred_to_and_no_other() -> None:
    assert sorted(document(WIDGETS)["components"]["schemas"]) == GOLDEN["names"]


def test_tells_the_paths_and_actions_of_a_custom_kind() -> None:
    actions = {
        path: {method: operation["x-kubernetes-action"] for method, operation in item.items() if method != "parameters"}
        for path, item in document(WIDGETS)["paths"].items()
    }
    assert actions == GOLDEN["paths"]


@pytest.mark.parametrize(("path", "kind"), [(WIDGETS, "Widget"), ("apis/batch/v1", "Job"), ("api/v1", "Namespace")])
def test_kubectl_finds_that_the_server_validates_fields_and_can_only_try(path: str, kind: str) -> None:
    operations = [item["patch"] for item in document(path)["paths"].values() if "patch" in item]
    of_kind = [each for each in operations if each["x-kubernetes-group-version-kind"]["kind"] == kind]
    assert of_kind
    for operation in of_kind:
        assert {"fieldValidation", "dryRun"} <= {parameter["name"] for parameter in operation["parameters"]}


def test_built_in_schemas_keep_their_patch_strategies() -> None:
    pod_spec = document("apis/batch/v1")["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]
    containers = pod_spec["properties"]["containers"]
    assert containers["x-kubernetes-patch-strategy"] == "merge"
    assert containers["x-kubernetes-patch-merge-key"] == "name"


def test_only_built_in_kinds_take_strategic_patches() -> None:
    strategic = "application/strategic-merge-patch+json"
    job = document("apis/batch/v1")["paths"]["/apis/batch/v1/namespaces/{namespace}/jobs/{name}"]["patch"]
    widget = document(WIDGETS)["paths"]["/apis/example.io/v1/namespaces/{namespace}/widgets/{name}"]["patch"]
    assert strategic in job["requestBody"]["content"]
    assert strategic not in widget["requestBody"]["content"]


def test_the_index_names_every_document_with_a_hash_that_follows_its_content() -> None:
    served = registry()
    before = openapi.v3_index(served)["paths"]
    assert before[WIDGETS]["serverRelativeURL"].startswith("/openapi/v3/apis/example.io/v1?hash=")
    assert openapi.v3_group(served, "/openapi/v3/apis/example.io/v1") is not None
    version = next(resource for resource in served if resource.plural == "widgets" and resource.version == "v1")
    assert version.custom is not None
    changed = {"openAPIV3Schema": {"type": "object", "description": "Another."}}
    version.custom = version.custom | {"schema": changed}
    served.add(version)
    after = openapi.v3_index(served)["paths"]
    assert after[WIDGETS] != before[WIDGETS]
    assert after["apis/batch/v1"] == before["apis/batch/v1"]


def test_has_no_document_for_a_group_that_is_not_served() -> None:
    assert openapi.v3_group(registry(), "apis/nowhere.io/v1") is None
