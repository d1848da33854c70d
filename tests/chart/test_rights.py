"""What the operator may do, in full: the golden file is read by whoever reviews a change of it."""

import re
from typing import Any

import pytest
import yaml

from .rendering import NAMESPACE, RELEASE, RIGHTS, rights

MODES = yaml.safe_load(RIGHTS.read_text())


def test_roles_and_bindings_are_those_of_the_golden_file() -> None:
    assert rights() == RIGHTS.read_text(), "on purpose? python tests/chart/rendering.py"


@pytest.mark.parametrize("mode", ["cluster", "namespaced"])
def test_no_wildcard_no_secret_and_no_way_into_a_pod(mode: str) -> None:
    rules = [rule for item in MODES[mode] for rule in item.get("rules", [])]
    assert rules
    for rule in rules:
        words = [word for values in rule.values() for word in values]
        assert not [word for word in words if "*" in word]
        banned = r"secrets|serviceaccounts|roles|rolebindings|pods/(exec|attach|portforward|proxy)|nodes/.+"
        assert not [word for word in rule["resources"] if re.fullmatch(banned, word)]
        assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])


def test_nothing_of_the_cluster_in_namespaced_mode() -> None:
    found: list[dict[str, Any]] = MODES["namespaced"]
    assert {item["kind"] for item in found} == {"Role", "RoleBinding"}
    assert {item["namespace"] for item in found} == {NAMESPACE, "team-a", "team-b"}
    assert not [rule for item in found for rule in item.get("rules", []) if "nodes" in rule["resources"]]


def test_the_operator_writes_nothing_of_people_but_the_status() -> None:
    """Deletion is for ttlSecondsAfterFinished; an EvalRun is patched when it belongs to a job that is suspended."""
    (role,) = [item for item in MODES["cluster"] if item["kind"] == "ClusterRole" and item["name"] == RELEASE]
    writes = {"create", "update", "patch", "delete"}
    ours = {
        resource: writes & set(rule["verbs"])
        for rule in role["rules"]
        if rule["apiGroups"] == ["kubetune.io"]
        for resource in rule["resources"]
    }
    assert ours["finetunejobs"] == {"delete"}
    assert ours["evalruns"] == {"create", "patch", "delete"}
    assert ours["finetunejobs/status"] == ours["evalruns/status"] == {"patch"}
