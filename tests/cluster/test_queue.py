"""A queue such as Kueue admits a run's Jobs and takes their place back; this test plays its part through the API."""

import pytest

from cluster.harness.manifests import eval_run, fine_tune_job
from cluster.harness.training import step_of
from cluster.harness.under_test import JSON, ClusterUnderTest, condition_of
from kubetune_api import names

pytestmark = pytest.mark.long

QUEUE = {"queueName": "team-a"}
ROUNDS = 10


async def queued(cluster: ClusterUnderTest, kind: str, owner: JSON, stage: str) -> JSON:
    """Wait until the Job of a stage waits in the queue; returns it."""
    name = names.stage_name(owner["metadata"]["name"], owner["metadata"]["uid"], stage, 1)
    job = await cluster.wait_for("Job", name, lambda obj: obj is not None)
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    await cluster.wait_for(kind, owner["metadata"]["name"], waits)
    return job


def waits(obj: JSON | None) -> bool:
    """Tell whether a run says that it waits in the queue."""
    return condition_of(obj, "Progressing")["reason"] == "Queued"


async def admit(cluster: ClusterUnderTest, job: JSON, round_: int = 0) -> None:
    """Let a Job in, as Kueue does: node selectors of the flavor, then `suspend` is taken back."""
    name = job["metadata"]["name"]
    current = await cluster.get("Job", name)
    assert current is not None
    if current["status"].get("startTime"):
        status = {"metadata": {"name": name}, "status": {"startTime": None}}
        path = f"/apis/batch/v1/namespaces/{cluster.namespace}/jobs/{name}/status"
        await cluster.client.request("PATCH", path, body=status, content_type="application/merge-patch+json")
    (node, *_) = await cluster.list("Node")
    labels = node["metadata"]["labels"]
    key = ("kubernetes.io/hostname", "kubernetes.io/os")[round_ % 2]
    selector: JSON = {"kubernetes.io/hostname": None, "kubernetes.io/os": None} | {key: labels[key]}
    template = {"spec": {"nodeSelector": selector}}
    await cluster.patch("Job", name, {"spec": {"suspend": False, "template": template}})


async def test_a_run_is_admitted_evicted_and_admitted_again_without_a_retry(cluster: ClusterUnderTest) -> None:
    job = await cluster.apply(fine_tune_job("job", "train-steps-200", retries=0, scheduling=QUEUE))
    await admit(cluster, await queued(cluster, "FineTuneJob", job, "prepare"))
    train = await queued(cluster, "FineTuneJob", job, "train")
    told = await cluster.get("FineTuneJob", "job")
    assert condition_of(told, "Admitted")["status"] == "False"
    assert told is not None
    assert told["status"]["phase"] == "Queued"
    reached = 0
    for number in range(ROUNDS):
        await admit(cluster, train, number)

        def trains(obj: JSON | None, least: int = reached) -> bool:
            holds = [condition_of(obj, each)["status"] for each in ("Admitted", "Running")]
            return step_of(obj) > least and holds == ["True", "True"]

        reached = step_of(await cluster.wait_for("FineTuneJob", "job", trains))
        await cluster.patch("Job", train["metadata"]["name"], {"spec": {"suspend": True}})
        await cluster.wait_for("FineTuneJob", "job", waits)
        assert condition_of(await cluster.get("FineTuneJob", "job"), "Admitted")["reason"] == "Queued"

        async def no_pod() -> bool:
            pods = await cluster.children("Pod", job, "train")
            return all(pod["status"]["phase"] in ("Succeeded", "Failed") for pod in pods)

        await cluster.wait_until(no_pod, what="no pod that runs")
    await admit(cluster, train)
    done = await cluster.succeeded("FineTuneJob", "job")
    assert (done["status"]["runs"], done["status"].get("failures")) == (1, None)
    assert done["status"]["disruptions"] == ROUNDS
    kept = await cluster.get("Job", train["metadata"]["name"])
    assert kept is not None
    assert kept["metadata"]["uid"] == train["metadata"]["uid"]
    ours = [entry for entry in kept["metadata"]["managedFields"] if "f:backoffLimit" in str(entry["fieldsV1"])]
    assert [entry["time"] for entry in ours] == [train["metadata"]["creationTimestamp"]], "written after it was made"


async def test_an_evaluation_is_queued_and_a_person_may_still_suspend_it(cluster: ClusterUnderTest) -> None:
    run = await cluster.apply(eval_run("compare", scheduling=QUEUE))
    job = await queued(cluster, "EvalRun", run, "evaluate")
    await cluster.patch("EvalRun", "compare", {"spec": {"suspend": True}})
    await cluster.wait_for("Job", job["metadata"]["name"], lambda obj: obj is None)
    await cluster.patch("EvalRun", "compare", {"spec": {"suspend": False}})
    again = names.stage_name("compare", run["metadata"]["uid"], "evaluate", 2)
    await admit(cluster, await cluster.wait_for("Job", again, lambda obj: obj is not None))
    await cluster.succeeded("EvalRun", "compare")
