"""The contract in a real API server: it takes the definitions, and says of each manifest what the embedded one says."""

from typing import Any

import pytest

from control_plane import CRDS, ControlPlane
from kubetune_api.crdgen import KINDS, object_schema
from kubetune_api.kind import KubeObject
from kubetune_cli.access import ApiError
from kubetune_local.apiserver.schema.node import compile_structural
from kubetune_local.apiserver.schema.structural import default
from kubetune_local.apiserver.schema.validate import validate
from unit.api.rule_table import MAY_CHANGE, MAY_NOT_CHANGE, REFUSED, TAKEN, Manifest, job

NODES = {kind.__name__: compile_structural(object_schema(kind)) for kind in KINDS}
DRY = "?dryRun=All&fieldValidation=Strict"


def create(plane: ControlPlane, manifest: Manifest, *, dry: bool = True) -> dict[str, Any]:
    """Create an object; by default only ask."""
    return plane.admin.request("POST", plane.admin.path(manifest["kind"]) + (DRY if dry else ""), manifest)


def update(plane: ControlPlane, old: Manifest, new: Manifest) -> None:
    """Create an object, replace it by another, and remove it."""
    path = plane.admin.path(old["kind"], old["metadata"]["name"])
    created = create(plane, old, dry=False)
    version = {"resourceVersion": created["metadata"]["resourceVersion"]}
    try:
        plane.admin.request("PUT", path, new | {"metadata": new["metadata"] | version})
    finally:
        plane.admin.request("DELETE", path)


@pytest.mark.parametrize("kind", KINDS)
def test_definition_is_accepted_and_structural(plane: ControlPlane, kind: type[KubeObject]) -> None:
    plural = kind.model_json_schema()["x-kubetune-kind"]["plural"]
    found = plane.admin.request("GET", f"{CRDS}/{plural}.kubetune.io")
    conditions = {entry["type"]: entry["status"] for entry in found["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions["NamesAccepted"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False", found["status"]


@pytest.mark.parametrize("case", TAKEN)
def test_takes(plane: ControlPlane, case: str) -> None:
    assert create(plane, TAKEN[case])["metadata"]["uid"]


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_in_the_words_of_the_embedded_server(plane: ControlPlane, case: str) -> None:
    manifest, why = REFUSED[case]
    with pytest.raises(ApiError) as caught:
        create(plane, manifest)
    assert caught.value.status == 422
    assert why in caught.value.message
    causes = caught.value.body["details"]["causes"]
    default(NODES[manifest["kind"]], manifest)
    embedded = validate(NODES[manifest["kind"]], manifest, None)
    assert {(error.field, error.body()) for error in embedded} == {
        (cause["field"], cause["message"]) for cause in causes
    }


@pytest.mark.parametrize("case", MAY_CHANGE)
def test_may_change(plane: ControlPlane, case: str) -> None:
    update(plane, *MAY_CHANGE[case])


@pytest.mark.parametrize("case", MAY_NOT_CHANGE)
def test_may_not_change(plane: ControlPlane, case: str) -> None:
    old, new, why = MAY_NOT_CHANGE[case]
    with pytest.raises(ApiError) as caught:
        update(plane, old, new)
    assert why in caught.value.message


def test_defaults_are_those_that_the_operator_reads(plane: ControlPlane) -> None:
    manifest = job()
    answered = create(plane, manifest)
    default(NODES["FineTuneJob"], manifest)
    assert answered["spec"] == manifest["spec"]


def test_status_is_written_beside_the_spec(plane: ControlPlane) -> None:
    created = create(plane, job(), dry=False)
    path = plane.admin.path("FineTuneJob", "table")
    progress = {"step": 120, "totalSteps": 900, "summary": "120/900", "loss": "1.92", "remaining": "4m10s"}
    patch = {"status": {"phase": "Training", "progress": progress}}
    try:
        plane.admin.request("PATCH", f"{path}/status", patch, content_type="application/merge-patch+json")
        shown = plane.kubectl("get", "ftj", "table").splitlines()
        assert shown[0].split() == ["NAME", "PHASE", "STEP", "LOSS", "ETA", "AGE"]
        assert shown[1].split()[:5] == ["table", "Training", "120/900", "1.92", "4m10s"]
        wide = plane.kubectl("get", "ftj", "table", "-o", "wide").splitlines()[0].split()
        assert wide == ["NAME", "PHASE", "STEP", "LOSS", "EVAL-LOSS", "TOK/S", "ETA", "WAITING", "AGE"]
        after = plane.admin.request("GET", path)
        assert after["metadata"]["generation"] == created["metadata"]["generation"]
    finally:
        plane.admin.request("DELETE", path)


def test_both_kinds_are_found_by_category(plane: ControlPlane) -> None:
    found = plane.kubectl("api-resources", "--categories", "kubetune,ai", "-o", "name").split()
    assert found == ["evalruns.kubetune.io", "finetunejobs.kubetune.io"]


def test_explain_reads_like_documentation(plane: ControlPlane) -> None:
    text = plane.kubectl("explain", "finetunejob.spec.training")
    words = " ".join(text.split())
    assert "training: how long, how fast and in what precision the model learns" in words
    assert "learningRate <string> learningRate at the peak, a decimal as text such as 2e-4." in words
    assert "<no description>" not in plane.kubectl("explain", "finetunejob", "--recursive")
    assert "<no description>" not in plane.kubectl("explain", "evalrun.spec.gates")
