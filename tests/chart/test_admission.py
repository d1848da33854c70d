"""The chart's admission policies in a real API server: what they take, and what they refuse with which words."""

import time
from typing import Any

import pytest

from control_plane import ControlPlane
from kubetune_cli.access import GROUP_PATH, ApiError
from unit.api import rule_table

from .rendering import objects
from .test_installed import install, make_namespace

POLICY = {"contact": "#gpu-help", "accelerators": {"maxPerRun": 8}, "uris": {"schemes": ["hf", "pvc"]}}


@pytest.fixture(scope="module")
def guarded(plane: ControlPlane) -> ControlPlane:
    """A control plane with the policies in force."""
    make_namespace(plane, "kubetune-system")
    make_namespace(plane, "plain")
    make_namespace(plane, "team", tuning="yes", **{"kubetune.io/max-accelerators": "2"})
    make_namespace(plane, "rich", tuning="yes")
    admission = {"enabled": True, "requiredNamespaceLabel": "tuning"}
    install(plane, "kubetune", "kubetune-system", admission=admission, policy=POLICY)
    deadline = time.monotonic() + 60
    while "tuning" not in said(plane, "plain", rule_table.job()):
        assert time.monotonic() < deadline, "the policies are not in force"
        time.sleep(0.5)
    return plane


def said(plane: ControlPlane, namespace: str, manifest: dict[str, Any]) -> str:
    """Return what the API server says against an object; nothing when it takes it."""
    plural = {"FineTuneJob": "finetunejobs", "EvalRun": "evalruns"}[manifest["kind"]]
    body = manifest | {"metadata": {"name": "try", "namespace": namespace}}
    try:
        plane.admin.request("POST", f"{GROUP_PATH}/namespaces/{namespace}/{plural}?dryRun=All", body)
    except ApiError as error:
        return str(error)
    return ""


def job(count: int = 1, nodes: int = 1, **spec: Any) -> dict[str, Any]:
    return rule_table.job(resources={"accelerator": {"count": count}, "nodes": nodes}, **spec)


def test_takes_what_is_allowed(guarded: ControlPlane) -> None:
    assert said(guarded, "team", job(2)) == ""
    assert said(guarded, "rich", job(4, 2)) == ""
    assert said(guarded, "team", rule_table.run()) == ""


@pytest.mark.parametrize(
    ("namespace", "manifest", "words"),
    [
        ("plain", job(), "only in namespaces with the label tuning; ask #gpu-help"),
        ("plain", rule_table.run(), "only in namespaces with the label tuning; ask #gpu-help"),
        ("team", job(2, 2), "allows at most 2 accelerators for a run"),
        ("rich", job(5, 2), "at most 8 accelerators (policy rule accelerators.maxPerRun)"),
        ("rich", job(model={"uri": "s3://a/b"}), "come from hf, pvc only (policy rule uris.schemes)"),
        (
            "rich",
            job(dataset={"train": rule_table.DATA["train"], "heldOut": [{"uri": "s3://a/b.csv"}]}),
            "come from hf, pvc only",
        ),
        ("rich", rule_table.run(tasks=rule_table.task(dataset={"uri": "s3://a/b.csv"})), "come from hf, pvc only"),
    ],
)
def test_refuses_and_says_which_rule(
    guarded: ControlPlane, namespace: str, manifest: dict[str, Any], words: str
) -> None:
    assert words in said(guarded, namespace, manifest)


def test_network_policies_of_pods_are_taken(plane: ControlPlane) -> None:
    make_namespace(plane, "walled")
    values = {"namespaces": ["walled"], "trainerNetworkPolicy": {"enabled": True}}
    (policy,) = [item for item in objects(**values) if item["kind"] == "NetworkPolicy"]
    path = "/apis/networking.k8s.io/v1/namespaces/walled/networkpolicies?dryRun=All&fieldValidation=Strict"
    made = plane.admin.request("POST", path, policy)
    assert made["spec"] == policy["spec"], "the API server understood it otherwise"
