"""What people do wrong, and what a cluster lacks: every trouble ends in a condition that says what to do."""

import asyncio
import time

import pytest

from cluster.harness.manifests import MODEL, eval_run, fine_tune_job, tasks
from cluster.harness.under_test import JSON, ClusterUnderTest, condition_of
from kubetune_api import names
from kubetune_local.client import ApiError


def failed(obj: JSON | None) -> bool:
    """Tell whether a run has failed."""
    return condition_of(obj, "Failed")["status"] == "True"


async def test_bad_data_never_reaches_a_train_job(cluster: ClusterUnderTest) -> None:
    await cluster.apply(fine_tune_job("job", "prepare-exit-65"))
    job = await cluster.finished("FineTuneJob", "job")
    ready = condition_of(job, "DataReady")
    assert (ready["status"], ready["reason"]) == ("False", "BadDataset")
    assert "rows 3 and 17 of train.jsonl" in ready["message"]
    assert condition_of(job, "Failed")["reason"] == "BadDataset"
    assert job["status"]["phase"] == "Failed"
    assert [attempt["exitCode"] for attempt in job["status"]["attempts"]] == [65]
    stages = [child["metadata"]["labels"][names.LABEL_STAGE] for child in await cluster.children("Job", job)]
    assert stages == ["prepare"]


async def test_a_spec_against_the_rules_is_refused_by_the_api_server(cluster: ClusterUnderTest) -> None:
    with pytest.raises(ApiError) as refused:
        await cluster.create(fine_tune_job("job", training={"learningRate": "2e"}))
    assert refused.value.code == 422
    assert "spec.training.learningRate" in refused.value.message
    with pytest.raises(ApiError) as refused:
        await cluster.create(fine_tune_job("job", method={"tuning": "Spectrum"}))
    assert refused.value.code == 422
    assert "spectrum" in refused.value.message


async def test_a_field_that_is_not_supported_yet_is_refused_by_its_path(cluster: ClusterUnderTest) -> None:
    await cluster.apply(fine_tune_job("job", output={"uri": "s3://models/job"}))
    job = await cluster.wait_for("FineTuneJob", "job", failed)
    accepted = condition_of(job, "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "NotSupportedYet")
    assert "spec.output.uri" in accepted["message"]
    assert await cluster.children("Job", job) == []


async def test_a_missing_model_takes_one_attempt(cluster: ClusterUnderTest) -> None:
    await cluster.apply(fine_tune_job("job", "prepare-exit-66"))
    job = await cluster.finished("FineTuneJob", "job")
    assert condition_of(job, "Failed")["reason"] == "ModelUnavailable"
    assert "model.uri" in condition_of(job, "Failed")["message"]
    assert len(job["status"]["attempts"]) == 1


async def test_failures_are_tried_again_as_often_as_allowed(cluster: ClusterUnderTest) -> None:
    await cluster.apply(fine_tune_job("job", "train-exit-70x1", retries=1))
    job = await cluster.succeeded("FineTuneJob", "job", deadline=90)
    codes = [attempt["exitCode"] for attempt in job["status"]["attempts"] if attempt["stage"] == "train"]
    assert codes == [70, 0]


async def test_retries_end(cluster: ClusterUnderTest) -> None:
    await cluster.apply(fine_tune_job("job", "train-exit-70", retries=1))
    job = await cluster.finished("FineTuneJob", "job", deadline=90)
    assert condition_of(job, "Failed")["reason"] == "RetriesExhausted"
    codes = [attempt["exitCode"] for attempt in job["status"]["attempts"] if attempt["stage"] == "train"]
    assert codes == [70, 70]


async def test_a_gate_that_does_not_hold_is_told_apart_from_a_failure(cluster: ClusterUnderTest) -> None:
    await cluster.apply(fine_tune_job("job", evaluation=tasks("evaluate-gate-fails")))
    job = await cluster.finished("FineTuneJob", "job")
    (run,) = await cluster.list("EvalRun")
    assert condition_of(run, "Succeeded")["status"] == "True"
    assert condition_of(run, "GatesPassed")["status"] == "False"
    assert "tuned is not good enough" in str(job["status"]) + str(run["status"])


async def test_an_evaluation_runs_alone(cluster: ClusterUnderTest) -> None:
    await cluster.apply(eval_run("compare"))
    run = await cluster.succeeded("EvalRun", "compare")
    assert condition_of(run, "GatesPassed")["status"] == "True"
    assert [entry["name"] for entry in run["status"]["results"][0]["candidates"]] == ["base", "other"]


async def test_an_evaluation_waits_for_the_job_it_names(cluster: ClusterUnderTest) -> None:
    candidates = [{"name": "base", "baseline": True, "model": MODEL}, {"name": "tuned", "fineTuneJob": "later"}]
    await cluster.apply(eval_run("compare", candidates=candidates))

    def waits(obj: JSON | None) -> bool:
        return "later" in condition_of(obj, "Progressing")["message"]

    run = await cluster.wait_for("EvalRun", "compare", waits)
    assert await cluster.children("Job", run) == []
    await cluster.apply(fine_tune_job("later"))
    await cluster.succeeded("EvalRun", "compare")


async def test_a_foreign_job_of_the_name_is_left_alone(cluster: ClusterUnderTest) -> None:
    suspended = await cluster.apply(fine_tune_job("job", suspend=True))
    name = names.stage_name("job", suspended["metadata"]["uid"], "prepare", 1)
    foreign = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "suspend": True,
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "none"}]}},
        },
    }
    theirs = await cluster.create(foreign)
    await cluster.patch("FineTuneJob", "job", {"spec": {"suspend": False}})

    def told(obj: JSON | None) -> bool:
        return condition_of(obj, "Progressing")["reason"] == "NameConflict"

    job = await cluster.wait_for("FineTuneJob", "job", told)
    assert name in condition_of(job, "Progressing")["message"]
    kept = await cluster.get("Job", name)
    assert kept is not None
    assert kept["metadata"]["uid"] == theirs["metadata"]["uid"]
    assert "ownerReferences" not in kept["metadata"]
    assert kept["spec"] == theirs["spec"]
    await cluster.delete("Job", name)
    await cluster.succeeded("FineTuneJob", "job")


async def test_a_missing_accelerator_is_told_within_ten_seconds(cluster: ClusterUnderTest) -> None:
    resources = {
        "accelerator": {"count": 2, "product": "NVIDIA-H100-80GB-HBM3"},
        "cpu": "100m",
        "memory": "256Mi",
    }
    await cluster.apply(fine_tune_job("job", resources=resources))
    await cluster.wait_for("FineTuneJob", "job", lambda obj: condition_of(obj, "DataReady")["status"] == "True")
    began = time.monotonic()

    def told(obj: JSON | None) -> bool:
        return condition_of(obj, "Progressing")["reason"] == "Unschedulable"

    job = await cluster.wait_for("FineTuneJob", "job", told, deadline=10)
    assert time.monotonic() - began < 10
    message = condition_of(job, "Progressing")["message"]
    assert "2" in message
    assert "NVIDIA-H100-80GB-HBM3" in message
    assert "no node offers it" in message
    assert "Add a node with nvidia.com/gpu" in message
    assert job["status"]["phase"] in ("Pending", "Queued")


async def test_a_claim_that_does_not_exist_is_named(cluster: ClusterUnderTest) -> None:
    await cluster.apply(fine_tune_job("job", dataset={"train": [{"uri": "pvc://no-such-claim/data.jsonl"}]}))

    def told(obj: JSON | None) -> bool:
        return "no-such-claim" in condition_of(obj, "Progressing")["message"]

    await cluster.wait_for("FineTuneJob", "job", told, deadline=15)


async def test_metrics_count_each_run_once(cluster: ClusterUnderTest) -> None:
    await cluster.apply(fine_tune_job("job"))
    await cluster.succeeded("FineTuneJob", "job")
    page = await asyncio.to_thread(cluster.operator.metrics)
    assert "kubetune_" in page
    assert "job" not in [part for line in page.splitlines() for part in line.split('"')], "an object's name in a label"


async def test_what_waiting_cannot_mend_ends_the_run_after_a_time(cluster: ClusterUnderTest) -> None:
    cluster.operator.stop()
    cluster.operator.start(KUBETUNE_HOPELESS_AFTER_SECONDS="3")
    try:
        await cluster.apply(fine_tune_job("job", model=MODEL | {"credentialsSecret": {"name": "no-such-secret"}}))
        job = await cluster.finished("FineTuneJob", "job")
        failed_for = condition_of(job, "Failed")
        assert (failed_for["status"], failed_for["reason"]) == ("True", "ContainerConfigFailed")
        assert '"no-such-secret" not found' in failed_for["message"]
        assert "It waited for" in failed_for["message"]

        async def stopped() -> bool:
            return not await cluster.children("Job", job)

        await cluster.wait_until(stopped, what="the Job is stopped")
    finally:
        await asyncio.to_thread(cluster.operator.stop)
