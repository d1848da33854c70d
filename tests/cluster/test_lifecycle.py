"""What may befall a run that works: its trainer or the operator dies, somebody suspends or deletes it, or its Jobs."""

from cluster.harness.manifests import fine_tune_job, tasks
from cluster.harness.training import running_trainer, step_of
from cluster.harness.under_test import JSON, ClusterUnderTest, condition_of
from kubetune_api import names

STEPS = "train-steps-40"


async def loss_of_an_undisturbed_run(cluster: ClusterUnderTest) -> str:
    """Return the last loss of the same training when nothing happens."""
    await cluster.apply(fine_tune_job("undisturbed", STEPS))
    job = await cluster.succeeded("FineTuneJob", "undisturbed")
    loss: str = job["status"]["progress"]["loss"]
    return loss


async def test_a_killed_trainer_goes_on_at_its_checkpoint_and_ends_with_the_same_loss(
    cluster: ClusterUnderTest,
) -> None:
    await cluster.apply(fine_tune_job("job", STEPS))
    await cluster.kill_trainer(await running_trainer(cluster, "job"))
    job = await cluster.succeeded("FineTuneJob", "job")
    attempts = [attempt for attempt in job["status"]["attempts"] if attempt["stage"] == "train"]
    assert [attempt.get("exitCode") for attempt in attempts] == [137, 0]
    assert attempts[1]["message"].endswith("of them in this attempt")
    assert "40 of them" not in attempts[1]["message"]
    assert job["status"]["progress"]["loss"] == await loss_of_an_undisturbed_run(cluster)


async def test_a_deleted_pod_costs_no_retry(cluster: ClusterUnderTest) -> None:
    # Long enough not to be done before the pod is deleted, however busy the machine is.
    await cluster.apply(fine_tune_job("job", "train-steps-200", retries=0))
    pod = await running_trainer(cluster, "job")
    await cluster.delete("Pod", pod["metadata"]["name"])
    job = await cluster.succeeded("FineTuneJob", "job")
    attempts = [attempt for attempt in job["status"]["attempts"] if attempt["stage"] == "train"]
    # Whether the operator still saw how the pod ended is a race with its removal: 75, or that it is gone.
    assert [attempt.get("exitCode") for attempt in attempts] in ([75, 0], [None, 0])
    assert "200 of them" not in attempts[1]["message"], "it began anew"


async def test_suspending_keeps_the_checkpoint_and_counts_active_time_only(cluster: ClusterUnderTest) -> None:
    await cluster.apply(fine_tune_job("job", STEPS))
    await running_trainer(cluster, "job")
    await cluster.patch("FineTuneJob", "job", {"spec": {"suspend": True}})
    job = await cluster.wait_for("FineTuneJob", "job", lambda obj: (obj or {})["status"]["phase"] == "Suspended")

    async def no_pod() -> bool:
        return all(pod["status"]["phase"] in ("Succeeded", "Failed") for pod in await cluster.children("Pod", job))

    await cluster.wait_until(no_pod, what="no pod that runs")
    def told(obj: JSON | None) -> bool:
        return "suspend: false" in condition_of(obj, "Progressing")["message"]

    job = await cluster.wait_for("FineTuneJob", "job", told)
    reached = step_of(job)
    before = job["status"]["activeSeconds"]

    await cluster.patch("FineTuneJob", "job", {"spec": {"suspend": False}})
    job = await cluster.succeeded("FineTuneJob", "job")
    attempts = [attempt for attempt in job["status"]["attempts"] if attempt["stage"] == "train"]
    assert len(attempts) == 2
    assert reached >= 12
    assert "40 of them" not in attempts[1]["message"], "it began anew"
    assert before <= job["status"]["activeSeconds"] <= 30
    assert job["status"]["progress"]["loss"] == await loss_of_an_undisturbed_run(cluster)


async def test_a_job_created_suspended_makes_nothing_until_it_may(cluster: ClusterUnderTest) -> None:
    await cluster.apply(fine_tune_job("job", suspend=True))
    job = await cluster.wait_for("FineTuneJob", "job", lambda obj: condition_of(obj, "Accepted")["status"] == "True")
    assert job["status"]["phase"] == "Suspended"
    assert await cluster.children("Job", job) == []
    await cluster.patch("FineTuneJob", "job", {"spec": {"suspend": False}})
    await cluster.succeeded("FineTuneJob", "job")


async def test_deleting_a_job_deletes_everything_it_made(cluster: ClusterUnderTest) -> None:
    await cluster.apply(fine_tune_job("job", evaluation=tasks()))
    job = await cluster.succeeded("FineTuneJob", "job")
    (run,) = await cluster.list("EvalRun")
    await cluster.delete("FineTuneJob", "job")

    async def gone() -> bool:
        left = [await cluster.list("EvalRun")]
        for owner in (job, run):
            kinds = ("Job", "Pod", "ConfigMap", "PersistentVolumeClaim")
            left += [await cluster.children(kind, owner) for kind in kinds]
        return not any(left)

    await cluster.wait_until(gone, what="nothing left of the job")


async def test_deleting_a_job_that_trains_stops_its_pod(cluster: ClusterUnderTest) -> None:
    await cluster.apply(fine_tune_job("job", "train-steps-400"))
    pod = await running_trainer(cluster, "job")
    await cluster.delete("FineTuneJob", "job")
    await cluster.wait_for("Pod", pod["metadata"]["name"], lambda obj: obj is None)


async def test_an_operator_that_dies_in_the_middle_takes_the_run_up_again(cluster: ClusterUnderTest) -> None:
    await cluster.apply(fine_tune_job("job", STEPS, evaluation=tasks()))
    pod = await running_trainer(cluster, "job")
    cluster.operator.kill()
    await cluster.wait_for("Pod", pod["metadata"]["name"], lambda obj: (obj or {})["status"]["phase"] == "Succeeded")
    cluster.operator.start()
    job = await cluster.succeeded("FineTuneJob", "job")
    assert [attempt["stage"] for attempt in job["status"]["attempts"]] == ["prepare", "train"]
    assert len(await cluster.children("Job", job)) == 2
    assert len(await cluster.list("EvalRun")) == 1


async def test_a_job_made_while_the_operator_was_away_is_found(cluster: ClusterUnderTest) -> None:
    cluster.operator.stop()
    await cluster.apply(fine_tune_job("job"))
    cluster.operator.start()
    await cluster.succeeded("FineTuneJob", "job")


async def test_a_finished_run_is_never_run_again(cluster: ClusterUnderTest) -> None:
    await cluster.apply(fine_tune_job("job"))
    job = await cluster.succeeded("FineTuneJob", "job")
    for child in await cluster.children("Job", job):
        await cluster.delete("Job", child["metadata"]["name"])

    async def no_job() -> bool:
        return not await cluster.children("Job", job)

    await cluster.wait_until(no_job, what="the Jobs are gone")
    cluster.operator.restart()
    await cluster.patch("FineTuneJob", "job", {"metadata": {"labels": {"team": "other"}}})
    # Another run that ends has given the operator every occasion to look at the first one.
    await cluster.apply(fine_tune_job("other"))
    await cluster.succeeded("FineTuneJob", "other")
    again = await cluster.get("FineTuneJob", "job")
    assert again is not None
    assert again["status"] == job["status"]
    assert await cluster.children("Job", job) == []


async def test_a_new_job_of_an_old_name_begins_anew(cluster: ClusterUnderTest) -> None:
    await cluster.apply(fine_tune_job("job"))
    first = await cluster.succeeded("FineTuneJob", "job")
    await cluster.delete("FineTuneJob", "job")
    await cluster.wait_for("FineTuneJob", "job", lambda obj: obj is None)
    second = await cluster.apply(fine_tune_job("job", "train-steps-6"))
    done = await cluster.succeeded("FineTuneJob", "job")
    assert done["metadata"]["uid"] == second["metadata"]["uid"] != first["metadata"]["uid"]
    assert done["status"]["progress"]["step"] == 6
    ours = {names.LABEL_OWNER_UID: second["metadata"]["uid"]}
    assert len(await cluster.list("Job", ours)) == 2
