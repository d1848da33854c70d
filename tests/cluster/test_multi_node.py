"""Several pods that train together: all begin, and whatever ends one of them begins all of them anew, once."""

import pytest

from cluster.harness.manifests import fine_tune_job
from cluster.harness.training import running_trainer
from cluster.harness.under_test import JSON, ClusterUnderTest, condition_of
from kubetune_api import names

pytestmark = pytest.mark.long

RESOURCES = {"accelerator": {"count": 0}, "cpu": "100m", "memory": "256Mi", "nodes": 2}


async def gang(cluster: ClusterUnderTest, *script: str, **spec: object) -> JSON:
    """Make a job of two nodes on a claim that both can mount."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "shared"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "10Mi"}}},
    }
    await cluster.create(claim)
    workspace = {"claimName": "shared"}
    return await cluster.apply(fine_tune_job("job", *script, workspace=workspace, resources=RESOURCES, **spec))


def of_training(job: JSON) -> list[JSON]:
    """Return the attempts to train."""
    return [attempt for attempt in job["status"]["attempts"] if attempt["stage"] == "train"]


async def test_both_pods_run_at_once_and_know_where_to_meet(cluster: ClusterUnderTest) -> None:
    job = await gang(cluster, "train-steps-40")
    await running_trainer(cluster, "job")
    pods = await cluster.children("Pod", job, "train")
    assert [pod["status"]["phase"] for pod in pods] == ["Running", "Running"]
    name = names.stage_name("job", job["metadata"]["uid"], "train", 1)
    assert sorted(pod["spec"]["hostname"] for pod in pods) == [f"{name}-0", f"{name}-1"]
    assert {pod["spec"]["subdomain"] for pod in pods} == {name}
    (service,) = await cluster.children("Service", job)
    assert (service["metadata"]["name"], service["spec"]["clusterIP"]) == (name, "None")
    assert service["spec"]["publishNotReadyAddresses"] is True
    wanted = service["spec"]["selector"].items()
    assert all(wanted <= pod["metadata"]["labels"].items() for pod in pods)
    done = await cluster.succeeded("FineTuneJob", "job")
    assert [attempt["exitCode"] for attempt in of_training(done)] == [0]
    assert len(await cluster.children("Pod", job, "prepare")) == 1


async def test_a_killed_pod_begins_all_of_them_anew_once_and_costs_one_retry(cluster: ClusterUnderTest) -> None:
    job = await gang(cluster, "train-steps-200", retries=1)
    await running_trainer(cluster, "job")
    pods = await cluster.children("Pod", job, "train")
    victim = next(pod for pod in pods if pod["spec"]["hostname"].endswith("-1"))
    await cluster.kill_trainer(victim)
    done = await cluster.succeeded("FineTuneJob", "job", deadline=90)
    first, second = of_training(done)
    assert (first["pod"], first["exitCode"]) == (victim["metadata"]["name"], 137)
    assert second["exitCode"] == 0
    assert (done["status"]["failures"], done["status"]["runs"]) == (1, 2)
    assert "60 of them" not in second["message"], "it began anew"
    assert len(await cluster.children("Job", job, "train")) == 2


async def test_a_deleted_pod_begins_all_of_them_anew_and_costs_nothing(cluster: ClusterUnderTest) -> None:
    job = await gang(cluster, "train-steps-200", retries=0)
    await running_trainer(cluster, "job")
    pods = await cluster.children("Pod", job, "train")
    victim = next(pod for pod in pods if pod["spec"]["hostname"].endswith("-1"))
    await cluster.delete("Pod", victim["metadata"]["name"])
    done = await cluster.succeeded("FineTuneJob", "job", deadline=90)
    assert done["status"]["runs"] == 2
    assert done["status"].get("failures") is None
    assert done["status"]["disruptions"] == 1


async def test_a_failure_that_nothing_can_mend_ends_them_all_with_one_attempt(cluster: ClusterUnderTest) -> None:
    await gang(cluster, "train-steps-400", "train-exit-78@1")
    done = await cluster.finished("FineTuneJob", "job")
    assert condition_of(done, "Failed")["reason"] == "Diverged"
    assert [attempt["exitCode"] for attempt in of_training(done)] == [78]
