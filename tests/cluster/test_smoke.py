"""The whole way once: a manifest becomes Jobs, progress, artifacts, an evaluation and a verdict."""

from cluster.harness.manifests import fine_tune_job, tasks
from cluster.harness.under_test import ClusterUnderTest, condition_of


async def test_a_job_runs_to_its_verdict(cluster: ClusterUnderTest) -> None:
    await cluster.apply(fine_tune_job("support-bot", evaluation=tasks()))
    job = await cluster.succeeded("FineTuneJob", "support-bot")
    assert job["status"]["phase"] == "Succeeded"
    assert condition_of(job, "DataReady")["status"] == "True"
    assert job["status"]["progress"]["step"] == 4
    assert [artifact["type"] for artifact in job["status"]["artifacts"]] == ["Adapter"]

    (run,) = await cluster.list("EvalRun")
    assert run["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    assert condition_of(run, "GatesPassed")["status"] == "True"

    jobs = [*await cluster.children("Job", job), *await cluster.children("Job", run)]
    assert [each["metadata"]["labels"]["kubetune.io/stage"] for each in jobs] == ["prepare", "train", "evaluate"]
