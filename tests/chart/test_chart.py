"""The chart by itself: what it renders, what it refuses, and what its operator may do."""

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from kubetune_api import __version__
from kubetune_api.crdgen import KINDS, custom_resource_definition
from kubetune_operator.settings import Settings

from .rendering import CHART, NAMESPACE, SNAPSHOT, objects, only, render, snapshot

#: Each call that the operator makes, and no more: (group, resource): verbs.
RIGHTS = {
    ("kubetune.io", "finetunejobs"): {"get", "list", "watch", "delete"},
    ("kubetune.io", "evalruns"): {"get", "list", "watch", "create", "patch", "delete"},
    ("kubetune.io", "finetunejobs/status"): {"patch"},
    ("kubetune.io", "evalruns/status"): {"patch"},
    ("kubetune.io", "finetunejobs/finalizers"): {"update"},
    ("kubetune.io", "evalruns/finalizers"): {"update"},
    ("batch", "jobs"): {"get", "list", "watch", "create", "delete"},
    ("", "configmaps"): {"get", "create"},
    ("", "persistentvolumeclaims"): {"get", "create"},
    ("", "services"): {"get", "create"},
    ("", "pods"): {"list", "watch"},
    ("", "pods/log"): {"get"},
    ("", "events"): {"list", "create"},
}


def rights(role: dict[str, Any]) -> dict[tuple[str, str], set[str]]:
    """Return the verbs of a role by group and resource."""
    found: dict[tuple[str, str], set[str]] = {}
    for rule in role["rules"]:
        assert set(rule) - {"resourceNames"} == {"apiGroups", "resources", "verbs"}, rule
        for place in itertools.product(rule["apiGroups"], rule["resources"]):
            found.setdefault(place, set()).update(rule["verbs"])
    return found


def container(**values: Any) -> dict[str, Any]:
    """Return the operator's container."""
    found: dict[str, Any] = only("Deployment", **values)["spec"]["template"]["spec"]["containers"][0]
    return found


def told_settings(**values: Any) -> Settings:
    """Return the settings that the operator reads from the chart's ConfigMap."""
    return Settings(**yaml.safe_load(only("ConfigMap", **values)["data"]["settings.yaml"]))


def test_lint_finds_nothing_wrong() -> None:
    report = helm_python.lint(CHART, strict=True)
    assert report["errors"] == []
    assert [entry for entry in report["messages"] if entry["severity"] > 1] == []


def test_defaults_render_as_the_snapshot() -> None:
    assert snapshot() == SNAPSHOT.read_text(), "on purpose? python tests/chart/rendering.py"


def test_chart_has_the_version_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_generated_files_are_up_to_date(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "values.yaml").write_text((CHART / "values.yaml").read_text())
    subprocess.run([sys.executable, CHART.parent / "chartgen.py", tmp_path], check=True)
    written = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert {"values.schema.json", "README.md"} < {path.name for path in written}
    for path in written:
        assert (CHART / path).read_text() == (tmp_path / path).read_text(), path


def test_definitions_are_those_of_the_models() -> None:
    found = {item["metadata"]["name"]: item for item in objects() if item["kind"] == "CustomResourceDefinition"}
    expected = [custom_resource_definition(kind) for kind in KINDS]
    assert {name: item["spec"] for name, item in found.items()} == {
        item["metadata"]["name"]: item["spec"] for item in expected
    }
    for item in found.values():
        assert item["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_definitions_can_go_with_the_release() -> None:
    for item in objects(crds={"keep": False}):
        assert "annotations" not in item["metadata"] or item["kind"] != "CustomResourceDefinition"


def test_operator_has_exactly_the_rights_it_uses() -> None:
    role = next(item for item in objects() if item["kind"] == "ClusterRole" and item["metadata"]["name"] == "kubetune")
    assert rights(role) == RIGHTS | {("", "nodes"): {"list"}}


def test_no_role_knows_secrets_or_a_wildcard() -> None:
    for values in ({}, {"namespaces": ["team-a"]}):
        for role in (item for item in objects(**values) if item["kind"] in ("Role", "ClusterRole")):
            for (group, resource), verbs in rights(role).items():
                assert "*" not in {group, resource, *verbs}
                assert not resource.startswith("secrets")
                assert resource not in ("pods/exec", "pods/attach", "pods/portforward")


def test_with_namespaces_nothing_reaches_beyond_them() -> None:
    values = {"namespaces": ["team-a", "team-b"], "crds": {"enabled": False}}
    found = objects(**values)
    assert not [item["kind"] for item in found if item["kind"].startswith("Cluster")]
    roles = {item["metadata"]["namespace"]: item for item in found if item["kind"] == "Role"}
    assert set(roles) == {"team-a", "team-b", NAMESPACE}
    assert rights(roles[NAMESPACE]) == {("coordination.k8s.io", "leases"): {"get", "patch", "create"}}
    assert all(rights(roles[namespace]) == RIGHTS for namespace in ("team-a", "team-b"))
    bindings = [item for item in found if item["kind"] == "RoleBinding"]
    assert {item["metadata"]["namespace"] for item in bindings} == set(roles)
    assert {subject["namespace"] for item in bindings for subject in item["subjects"]} == {NAMESPACE}
    assert told_settings(**values).namespaces == ["team-a", "team-b"]


def test_two_replicas_run_and_agree_by_a_lease_of_the_release() -> None:
    spec = only("Deployment")["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    settings = told_settings()
    assert (settings.leader_election, settings.lease_name, settings.lease_namespace) == (True, "kubetune", NAMESPACE)
    name = {"name": "KUBETUNE_REPLICA_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    assert name in container()["env"]
    pods = only("PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items()
    assert pods <= spec["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("namespaces", [[], ["team-a"]])
def test_the_lease_is_all_that_the_operator_may_touch_in_its_own_namespace(namespaces: list[str]) -> None:
    found = objects(namespaces=namespaces, fullnameOverride="mine")
    (role,) = [item for item in found if item["kind"] == "Role" and item["metadata"]["name"] == "mine-leader"]
    leases = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
    assert role["metadata"]["namespace"] == NAMESPACE
    assert role["rules"] == [
        leases | {"resourceNames": ["mine"], "verbs": ["get", "patch"]},
        leases | {"verbs": ["create"]},
    ]


def test_settings_reach_the_operator() -> None:
    settings = told_settings(settings={"trainer_image": "registry.example/trainer:1", "workers": 3})
    assert (settings.trainer_image, settings.workers, settings.log_format) == ("registry.example/trainer:1", 3, "json")
    mounted = container()["volumeMounts"][0]["mountPath"]
    assert {"name": "KUBETUNE_SETTINGS", "value": f"{mounted}/settings.yaml"} in container()["env"]


def test_other_settings_make_another_pod() -> None:
    before, after = only("Deployment"), only("Deployment", settings={"workers": 3})
    assert before["spec"]["template"] != after["spec"]["template"]


def test_probes_and_service_ask_the_port_that_the_operator_serves() -> None:
    values = {"metrics": {"port": 9090}}
    served = int(told_settings(**values).http_bind.rpartition(":")[2])
    ports = {port["name"]: port["containerPort"] for port in container(**values)["ports"]}
    assert ports == {"metrics": served}
    for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz"), ("startupProbe", "/healthz")):
        assert container(**values)[probe]["httpGet"] == {"path": path, "port": "metrics"}
    assert only("Service", **values)["spec"]["ports"] == [{"name": "metrics", "port": served, "targetPort": "metrics"}]


def test_selectors_find_the_pod() -> None:
    values = {"networkPolicy": {"enabled": True}, "metrics": {"serviceMonitor": {"enabled": True}}}
    labels = only("Deployment")["spec"]["template"]["metadata"]["labels"].items()
    assert only("Deployment")["spec"]["selector"]["matchLabels"].items() <= labels
    assert only("Service", **values)["spec"]["selector"].items() <= labels
    assert only("NetworkPolicy", **values)["spec"]["podSelector"]["matchLabels"].items() <= labels
    monitored = only("ServiceMonitor", **values)["spec"]["selector"]["matchLabels"].items()
    assert monitored <= only("Service", **values)["metadata"]["labels"].items()


TRAINER_POLICY = {"namespaces": ["team-a", "team-b"], "trainerNetworkPolicy": {"enabled": True}}
OURS = [{"podSelector": {"matchLabels": {"app.kubernetes.io/managed-by": "kubetune"}}}]


def test_pods_of_runs_reach_each_other_names_and_tls_and_are_reached_by_each_other_only() -> None:
    found = [item for item in objects(**TRAINER_POLICY) if item["kind"] == "NetworkPolicy"]
    assert [item["metadata"]["namespace"] for item in found] == ["team-a", "team-b"]
    for spec in (item["spec"] for item in found):
        assert spec["podSelector"] == OURS[0]["podSelector"]
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        assert spec["ingress"] == [{"from": OURS}], "any port of the pods that train together"
        among, outside = spec["egress"]
        assert among == {"to": OURS}
        allowed = {(port["port"], port["protocol"]) for port in outside["ports"]}
        assert (set(outside), allowed) == ({"ports"}, {(53, "UDP"), (53, "TCP"), (443, "TCP")})


def test_pods_of_runs_may_reach_other_ports_when_told() -> None:
    values = TRAINER_POLICY | {"trainerNetworkPolicy": {"enabled": True, "ports": [9000]}}
    (first, _) = [item for item in objects(**values) if item["kind"] == "NetworkPolicy"]
    assert [port["port"] for port in first["spec"]["egress"][1]["ports"]] == [53, 53, 9000]


def test_network_policies_select_the_pods_that_are_made() -> None:
    children = yaml.safe_load_all((CHART.parents[1] / "tests/golden/finetunejob.children.yaml").read_text())
    made = [child["spec"]["template"]["metadata"]["labels"] for child in children if child["kind"] == "Job"]
    assert made
    assert all(OURS[0]["podSelector"]["matchLabels"].items() <= labels.items() for labels in made)


def test_network_policies_need_namespaces() -> None:
    with pytest.raises(helm_python.HelmError, match="needs namespaces"):
        render(trainerNetworkPolicy={"enabled": True})


def test_image_by_digest_tag_or_version() -> None:
    digest = f"sha256:{'0' * 64}"
    assert container()["image"] == f"ghcr.io/kubetune/operator:{__version__}"
    assert container(image={"repository": "local/op", "tag": "dev"})["image"] == "local/op:dev"
    assert container(image={"tag": "dev", "digest": digest})["image"] == f"ghcr.io/kubetune/operator@{digest}"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"settings": {"wrkers": 3}}, "'wrkers' not allowed"),
        ({"settings": {"workers": 1000}}, "maximum: got 1,000, want 100"),
        ({"settings": {"namespaces": ["a"]}}, "'namespaces' not allowed"),
        ({"namespaces": "team-a"}, "got string, want array"),
        ({"namespaces": ["Team A"]}, "does not match pattern"),
        ({"image": {"pullPolicy": "Sometimes"}}, "must be one of 'Always', 'IfNotPresent', 'Never'"),
        ({"image": {"digest": "latest"}}, "does not match pattern"),
        ({"metrics": {"port": 80}}, "minimum: got 80, want 1,024"),
        ({"replica": 2}, "'replica' not allowed"),
        ({"replicas": 0}, "minimum: got 0, want 1"),
    ],
)
def test_schema_refuses(values: dict[str, Any], said: str) -> None:
    with pytest.raises(helm_python.HelmError) as caught:
        render(**values)
    assert said in str(caught.value)


def test_monitor_without_a_service_is_refused() -> None:
    with pytest.raises(helm_python.HelmError) as caught:
        render(metrics={"service": False, "serviceMonitor": {"enabled": True}})
    assert "metrics.serviceMonitor.enabled needs metrics.service: true" in str(caught.value)


def test_every_optional_part_renders_to_objects() -> None:
    values = {
        "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "imagePullSecrets": [{"name": "registry"}],
        "podAnnotations": {"a": "1"},
        "podLabels": {"b": "2"},
        "nodeSelector": {"c": "3"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "system-cluster-critical",
        "serviceAccount": {"annotations": {"d": "4"}, "name": "mine"},
        "networkPolicy": {"enabled": True, "from": [{"podSelector": {}}]},
        "fullnameOverride": "other",
    }
    pod = only("Deployment", **values)["spec"]["template"]
    assert pod["spec"]["serviceAccountName"] == "mine"
    assert pod["metadata"]["annotations"]["a"] == "1"
    assert pod["metadata"]["labels"]["b"] == "2"
    for name in ("imagePullSecrets", "nodeSelector", "tolerations", "affinity", "priorityClassName"):
        assert pod["spec"][name] == values[name]
    assert values["env"][0] in pod["spec"]["containers"][0]["env"]
    assert only("NetworkPolicy", **values)["spec"]["ingress"][0]["from"] == [{"podSelector": {}}]
    assert only("Deployment", **values)["metadata"]["name"] == "other"


def test_notes_name_the_next_commands() -> None:
    notes = render()["kubetune/templates/NOTES.txt"]
    assert "kubectl --namespace kubetune-system rollout status deployment/kubetune" in notes
    assert "kubetune watch support-bot" in notes
    assert "--namespace team-a" in render(namespaces=["team-a"])["kubetune/templates/NOTES.txt"]
