"""Pods pass the `restricted` Pod Security level, and a canary secret is seen nowhere but where its owner put it."""

import asyncio
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.harness.manifests import fine_tune_job, tasks
from cluster.harness.operator import Operator, free_port
from cluster.harness.under_test import JSON, ClusterUnderTest, condition_of
from cluster.harness.worlds import CONTROL_PLANE, LocalWorld
from kubetune_local.client import CLAIMS, NAMESPACES, PODS, SECRETS, VOLUMES, ApiError
from unit.trainer import tiny

pytestmark = pytest.mark.long

RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}
VALUE, PASSWORD, TOKEN = "canary-9f8e7d6c5b", "pw-canary-1a2b3c", "tok-canary-4d5e6f"
CANARIES = (VALUE, PASSWORD, TOKEN)


@pytest.fixture
async def restricted(cluster: ClusterUnderTest) -> ClusterUnderTest:
    """The test's namespace, which admits pods of the restricted level only."""
    await cluster.client.patch(NAMESPACES, cluster.namespace, {"metadata": {"labels": RESTRICTED}})
    return cluster


async def test_every_pod_is_admitted_where_only_restricted_pods_are(restricted: ClusterUnderTest) -> None:
    if restricted.world.name == CONTROL_PLANE:
        loose = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "none"}]}
        with pytest.raises(ApiError, match="violates PodSecurity"):
            await restricted.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "loose"}, "spec": loose})
    shared = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "10Mi"}}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "shared"}, "spec": shared}
    await restricted.create(claim)
    await restricted.apply(fine_tune_job("job", evaluation=tasks()))
    await restricted.apply(fine_tune_job("gang", resources=_two_nodes(), workspace={"claimName": "shared"}))
    await restricted.succeeded("FineTuneJob", "job")
    await restricted.succeeded("FineTuneJob", "gang", deadline=90)
    pods = await restricted.list("Pod")
    stages = [pod["metadata"]["labels"]["kubetune.io/stage"] for pod in pods]
    assert sorted(stages) == ["evaluate", "prepare", "prepare", "train", "train", "train"]
    for pod in pods:
        _assert_locked_down(pod["spec"])


def _two_nodes() -> JSON:
    return {"accelerator": {"count": 0}, "cpu": "100m", "memory": "256Mi", "nodes": 2}


def _assert_locked_down(spec: JSON) -> None:
    """The pod as the API server stores it, admission and defaults included."""
    assert spec["automountServiceAccountToken"] is False
    sources = [source for volume in spec["volumes"] for source in volume.get("projected", {}).get("sources", [])]
    assert not any("serviceAccountToken" in source for source in sources)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not any(spec.get(field) for field in ("hostNetwork", "hostPID", "hostIPC"))
    assert not any("hostPath" in volume for volume in spec["volumes"])
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not context.get("privileged")


@pytest.fixture
def real_trainer(session_operator: Operator) -> Iterator[None]:
    """The operator starts the real trainer, and the stand-in again after the test."""
    session_operator.stop()
    session_operator.start(KUBETUNE_TRAINER_COMMAND=shlex.join([sys.executable, "-m", "kubetune_trainer"]))
    yield
    session_operator.stop()
    session_operator.start()


async def test_a_canary_secret_is_seen_nowhere(real_trainer: None, cluster: ClusterUnderTest, tmp_path: Path) -> None:
    assert isinstance(cluster.world, LocalWorld), "the tests read the volumes of a cluster of this machine"
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hf"}, "stringData": {"HF_TOKEN": VALUE}}
    await cluster.client.create(SECRETS, secret, cluster.namespace)
    model = {"uri": tiny.write_model(tmp_path / "model").as_uri(), "credentialsSecret": {"name": "hf"}}
    good = tiny.write_rows(tmp_path / "train.jsonl", tiny.questions(40)).as_uri()
    in_uri = f"https://me:{PASSWORD}@127.0.0.1:{free_port()}/d.jsonl?token={TOKEN}"
    by_value = f"file:///nowhere/{VALUE}.jsonl"
    for name, uri in (("good", good), ("uri", in_uri), ("value", by_value)):
        await cluster.apply(fine_tune_job(name, model=model, dataset={"train": [{"uri": uri}]}, **_small()))
    ended = {name: await cluster.finished("FineTuneJob", name, deadline=200) for name in ("good", "uri", "value")}
    assert condition_of(ended["good"], "Succeeded")["status"] == "True", ended["good"]["status"]
    assert "***" in condition_of(ended["uri"], "Failed")["message"]
    assert "***" in condition_of(ended["value"], "Failed")["message"]

    seen = {f"status of {name}": json.dumps(obj["status"]) for name, obj in ended.items()}
    seen["events"] = json.dumps(await cluster.list("Event"))
    for pod in await cluster.list("Pod"):
        name = pod["metadata"]["name"]
        seen[f"status of {name}"] = json.dumps(pod["status"])
        seen[f"log of {name}"] = str(await cluster.client.request("GET", PODS.path(cluster.namespace, name, "log")))
    seen["the operator's log"] = cluster.operator.process.log.read_text()
    seen["metrics"] = await asyncio.to_thread(cluster.operator.metrics)
    assert "KUBETUNE" in "".join(text for what, text in seen.items() if what.startswith("log of good"))
    for what, text in seen.items():
        assert not [canary for canary in CANARIES if canary in text], f"{what} shows a canary:\n{text}"
    files = await _files(cluster, ended["good"])
    assert any(path.name == "adapter_model.safetensors" for path in files)
    assert [path for path in files if any(canary.encode() in path.read_bytes() for canary in CANARIES)] == []


def _small() -> dict[str, Any]:
    return {
        "method": {"lora": {"rank": 4}},
        "training": {"maxSteps": 2, "globalBatchTokens": 512, "sequenceLength": 128, "precision": "FP32"},
        "resources": {"accelerator": {"count": 0}, "cpu": "1", "memory": "2Gi"},
        "workspace": {"size": "256Mi"},
        "retries": 0,
    }


async def _files(cluster: ClusterUnderTest, job: JSON) -> list[Path]:
    """Return every file in the workspace of a job."""
    (claim,) = await cluster.children("PersistentVolumeClaim", job)
    bound = await cluster.client.get(CLAIMS, claim["metadata"]["name"], cluster.namespace)
    volume = await cluster.client.get(VOLUMES, bound["spec"]["volumeName"])
    return _below(Path(volume["spec"]["hostPath"]["path"]))


def _below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
