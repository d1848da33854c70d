"""The chart in a real API server: its objects are taken, and its operator works with its rights and no more."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from control_plane import ControlPlane, wait_for
from kubetune_api import names
from kubetune_cli.access import GROUP_PATH, ApiError
from kubetune_local.launch.programs import free_ports

from .rendering import CHART, NAMESPACE, RELEASE

EXAMPLE = Path(__file__).parents[2] / "examples/lora-gpu.yaml"
#: The operator asks for nodes where it may not list them, takes no for an answer, and says less about why a pod waits.
NODES = {"verb": "list", "resource": "nodes"}


def make_namespace(plane: ControlPlane, name: str, **labels: str) -> None:
    """Create a namespace."""
    plane.admin.request("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})


def install(plane: ControlPlane, release: str, namespace: str, **values: Any) -> None:
    """Install the chart as an administrator does."""
    kubeconfig = plane.kubeconfig("admin", plane.token)
    with helm_python.Config(kubeconfig_path=kubeconfig, namespace=namespace) as config:
        config.install(CHART, release, values, namespace=namespace)


@contextmanager
def operator(plane: ControlPlane, release: str, namespace: str) -> Iterator[str]:
    """Run the operator as the release's service account, with the release's settings; yield its address."""
    core = f"/api/v1/namespaces/{namespace}"
    account = f"{core}/serviceaccounts/{release}/token"
    token = plane.admin.request("POST", account, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"})
    kubeconfig = plane.kubeconfig(f"operator-{namespace}", token["status"]["token"])
    settings = plane.folder / f"settings-{namespace}.yaml"
    told = plane.admin.request("GET", f"{core}/configmaps/{release}")["data"]
    settings.write_text(told["settings.yaml"])
    policy = plane.folder / f"policy-{namespace}.yaml"
    policy.write_text(told["policy.yaml"])
    bind = f"127.0.0.1:{free_ports(1)[0]}"
    environ = os.environ | {
        "KUBECONFIG": str(kubeconfig),
        "KUBETUNE_SETTINGS": str(settings),
        "KUBETUNE_POLICY": str(policy),
        "KUBETUNE_HTTP_BIND": bind,
        "KUBETUNE_WAITING_INTERVAL_SECONDS": "0.5",
    }
    with (plane.folder / f"operator-{namespace}.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "kubetune_operator"], env=environ, stdout=log, stderr=log)
    try:
        wait_for("the operator is ready", lambda: _answers(f"http://{bind}/readyz"), 60)
        yield f"http://{bind}"
        assert process.poll() is None, Path(log.name).read_text()
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def submit(plane: ControlPlane, namespace: str) -> str:
    """Create the example's job and return its path."""
    path = f"{GROUP_PATH}/namespaces/{namespace}/finetunejobs"
    created = plane.admin.request("POST", path, yaml.safe_load(EXAMPLE.read_text()))
    return f"{path}/{created['metadata']['name']}"


def condition(plane: ControlPlane, path: str, kind: str) -> dict[str, Any]:
    """Return a condition of an object; empty before there is one."""
    found = plane.admin.request("GET", path).get("status", {}).get("conditions", [])
    return next((entry for entry in found if entry["type"] == kind), {})


def jobs(plane: ControlPlane, namespace: str) -> list[dict[str, Any]]:
    """Return the Jobs of a namespace that are not being deleted."""
    items = plane.admin.request("GET", f"/apis/batch/v1/namespaces/{namespace}/jobs")["items"]
    return [item for item in items if "deletionTimestamp" not in item["metadata"]]


def starve(plane: ControlPlane, namespace: str, job: dict[str, Any]) -> None:
    """Make the Job's pod as its controller does, and say that no node fits as the scheduler does."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    template = job["spec"]["template"]
    owner = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "controller": True,
        **{k: job["metadata"][k] for k in ("name", "uid")},
    }
    metadata = {"name": f"{job['metadata']['name']}-0-abcde", "labels": template["metadata"]["labels"]}
    metadata["ownerReferences"] = [owner]
    pod = plane.admin.request("POST", pods, {"metadata": metadata, "spec": template["spec"]})
    reason = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/0 nodes"}
    status = {"status": {"phase": "Pending", "conditions": [reason]}}
    path = f"{pods}/{metadata['name']}/status"
    plane.admin.request("PATCH", path, status, content_type="application/merge-patch+json")
    event = {
        "metadata": {"name": "starved", "namespace": namespace},
        "involvedObject": {"kind": "Pod", "namespace": namespace, **{k: pod["metadata"][k] for k in ("name", "uid")}},
        "type": "Warning",
        "reason": "FailedScheduling",
        "message": "0/0 nodes are available",
    }
    plane.admin.request("POST", f"/api/v1/namespaces/{namespace}/events", event)


def work_through(plane: ControlPlane, release: str, own: str, namespace: str) -> list[dict[str, Any]]:
    """Let an operator bring a job to its first stage, wait for a node, and be suspended; return its audit events."""
    with operator(plane, release, own) as address:
        path = submit(plane, namespace)
        job = wait_for("a Job", lambda: jobs(plane, namespace), 60)[0]
        assert job["metadata"]["labels"][names.LABEL_MANAGED_BY] == names.MANAGED_BY
        starve(plane, namespace, job)
        wait_for(
            "the reason for waiting", lambda: condition(plane, path, "Progressing").get("reason") == "Unschedulable", 20
        )
        patch = {"spec": {"suspend": True}}
        plane.admin.request("PATCH", path, patch, content_type="application/merge-patch+json")
        wait_for("the Job is gone", lambda: not jobs(plane, namespace), 60)
        with urllib.request.urlopen(f"{address}/metrics", timeout=5) as answer:
            assert b"kubetune_runs{" in answer.read()
    return plane.audit(f"system:serviceaccount:{own}:{release}")


def refused(events: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return what the operator asked for and may not have."""
    found = [event for event in events if event["responseStatus"]["code"] == 403]
    return [{"verb": event["verb"], "resource": event.get("objectRef", {}).get("resource", "")} for event in found]


@pytest.fixture(scope="module")
def installed(plane: ControlPlane) -> ControlPlane:
    """The control plane with the release for every namespace."""
    make_namespace(plane, NAMESPACE)
    install(plane, RELEASE, NAMESPACE)
    plane.wait_until_served()
    return plane


def test_definitions_are_served_after_the_installation(installed: ControlPlane) -> None:
    assert "learningRate" in installed.kubectl("explain", "finetunejob.spec.training")


def test_pod_passes_the_restricted_level(installed: ControlPlane) -> None:
    make_namespace(installed, "restricted", **{"pod-security.kubernetes.io/enforce": "restricted"})
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{RELEASE}"
    template = installed.admin.request("GET", path)["spec"]["template"]
    pod = {"metadata": {"name": "operator", "labels": template["metadata"]["labels"]}, "spec": template["spec"]}
    created = installed.admin.request("POST", "/api/v1/namespaces/restricted/pods?dryRun=All", pod)
    assert created["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"]


def test_operator_works_with_its_rights(installed: ControlPlane) -> None:
    make_namespace(installed, "anyone")
    events = work_through(installed, RELEASE, NAMESPACE, "anyone")
    assert refused(events) == []
    done = {(event["verb"], event["objectRef"]["resource"]) for event in events if "objectRef" in event}
    assert {("create", "jobs"), ("create", "events"), ("list", "nodes"), ("delete", "jobs")} <= done
    assert not [resource for _, resource in done if resource == "secrets"]


def test_operator_of_one_namespace_works_without_a_cluster_role(installed: ControlPlane) -> None:
    make_namespace(installed, "team-a")
    install(installed, "mine", "team-a", crds={"enabled": False}, namespaces=["team-a"], fullnameOverride="mine")
    events = work_through(installed, "mine", "team-a", "team-a")
    assert [call for call in refused(events) if call != NODES] == []
    elsewhere = [event for event in events if event.get("objectRef", {}).get("namespace", "team-a") != "team-a"]
    assert elsewhere == []


def test_service_account_can_read_no_secret(installed: ControlPlane) -> None:
    user = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
    for verb in ("get", "list", "watch", "create"):
        asked = {"user": user, "resourceAttributes": {"verb": verb, "resource": "secrets", "namespace": "default"}}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        answer = installed.admin.request("POST", path, {"spec": asked})
        assert answer["status"]["allowed"] is False, json.dumps(answer)


def test_editors_of_a_namespace_may_make_runs(installed: ControlPlane) -> None:
    for role in ("view", "edit"):
        path = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{RELEASE}-{role}"
        labels = installed.admin.request("GET", path)["metadata"]["labels"]
        assert labels[f"rbac.authorization.k8s.io/aggregate-to-{role}"] == "true"


def test_upgrade_and_removal_leave_the_runs(installed: ControlPlane) -> None:
    kubeconfig = installed.kubeconfig("admin", installed.token)
    make_namespace(installed, "kept")
    path = submit(installed, "kept")
    before = installed.admin.request("GET", path)["metadata"]["uid"]
    with helm_python.Config(kubeconfig_path=kubeconfig, namespace=NAMESPACE) as config:
        config.upgrade(CHART, RELEASE, {"settings": {"workers": 3}}, namespace=NAMESPACE)
        config.uninstall(RELEASE)
    assert installed.admin.request("GET", path)["metadata"]["uid"] == before
    with pytest.raises(ApiError) as caught:
        installed.admin.request("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{RELEASE}")
    assert caught.value.status == 404
