"""Environment of containers."""

import base64
from typing import Any

import pytest

from kubetune_local.kubelet.container import hosts_of
from kubetune_local.kubelet.downward import Unresolvable
from kubetune_local.kubelet.environment import References, inherited, resolve
from unit.local.kubelet.builders import FakeApi, container, pod

API = FakeApi(
    ("configmaps", "settings", {"data": {"MODE": "fast", "not a name": "x"}}),
    ("secrets", "keys", {"data": {"token": base64.b64encode(b"s3cret").decode()}}),
)


async def variables(**spec: Any) -> dict[str, str]:
    one = container(**spec)
    return await resolve(one, pod(one), References(API, "default"), {"cpu": "4", "memory": "8Gi"})  # type: ignore[arg-type]


async def test_later_values_refer_to_earlier_ones() -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(C)"}, {"name": "C", "value": "3"}]
    assert await variables(env=env) == {"A": "1", "B": "1$(C)", "C": "3"}


async def test_env_from_comes_first_and_skips_what_is_no_variable() -> None:
    found = await variables(
        envFrom=[{"configMapRef": {"name": "settings"}, "prefix": "X_"}], env=[{"name": "Y", "value": "$(X_MODE)"}]
    )
    assert found == {"X_MODE": "fast", "Y": "fast"}


async def test_tells_the_pod_about_itself() -> None:
    paths = ["metadata.name", "metadata.labels['team']", "spec.nodeName", "status.podIP"]
    env = [{"name": f"V{i}", "valueFrom": {"fieldRef": {"fieldPath": path}}} for i, path in enumerate(paths)]
    assert list((await variables(env=env)).values()) == ["p", "a", "local", "127.0.0.1"]


async def test_resources_are_divided_and_rounded_up() -> None:
    def reference(resource: str, divisor: str = "1") -> dict[str, Any]:
        return {"valueFrom": {"resourceFieldRef": {"resource": resource, "divisor": divisor}}}

    found = await variables(
        env=[
            {"name": "CPU", **reference("limits.cpu")},
            {"name": "MEM", **reference("limits.memory", "1Mi")},
            {"name": "REQ", **reference("requests.cpu", "1m")},
        ],
        resources={"limits": {"cpu": "1500m"}, "requests": {"cpu": "1500m"}},
    )
    assert found == {"CPU": "2", "MEM": "8192", "REQ": "1500"}


async def test_reads_a_key_of_a_secret() -> None:
    env = [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}}]
    assert await variables(env=env) == {"T": "s3cret"}


async def test_optional_references_may_be_missing() -> None:
    reference = {"configMapKeyRef": {"name": "nowhere", "key": "k", "optional": True}}
    source = {"secretRef": {"name": "nowhere", "optional": True}}
    assert await variables(env=[{"name": "A", "valueFrom": reference}], envFrom=[source]) == {}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "nowhere", "key": "k"}}, 'configmap "nowhere" not found'),
        ({"secretKeyRef": {"name": "keys", "key": "k"}}, "couldn't find key k in Secret default/keys"),
        ({"fieldRef": {"fieldPath": "spec.nothing"}}, "unsupported fieldPath: spec.nothing"),
    ],
)
async def test_says_what_is_missing_in_the_words_of_kubernetes(source: dict[str, Any], message: str) -> None:
    with pytest.raises(Unresolvable, match=message):
        await variables(env=[{"name": "A", "valueFrom": source}])


def test_a_pod_inherits_no_token_and_no_kubeconfig() -> None:
    machine = {"PATH": "/bin", "HF_TOKEN": "x", "KUBECONFIG": "k", "HTTPS_PROXY": "p", "LC_ALL": "C", "AWS_SECRET": "s"}
    assert inherited(machine) == {"PATH": "/bin", "HTTPS_PROXY": "p", "LC_ALL": "C"}


async def test_tells_a_pod_its_completion_index() -> None:
    one = container(
        env=[
            {
                "name": "JOB_COMPLETION_INDEX",
                "valueFrom": {
                    "fieldRef": {"fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"}
                },
            }
        ]
    )
    indexed = pod(one)
    indexed["metadata"]["annotations"] = {"batch.kubernetes.io/job-completion-index": "1"}
    found = await resolve(one, indexed, References(API, "default"), {})  # type: ignore[arg-type]
    assert found == {"JOB_COMPLETION_INDEX": "1"}


def test_pods_of_one_service_are_found_on_this_machine() -> None:
    assert hosts_of({"spec": {"subdomain": "train"}}) == {"*.train": "127.0.0.1"}
    assert hosts_of({"spec": {}}) == {}
