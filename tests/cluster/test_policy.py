"""The platform's policy while the operator runs: limits of a namespace, and a document that changes."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.harness.manifests import fine_tune_job
from cluster.harness.training import running_trainer, step_of
from cluster.harness.under_test import JSON, ClusterUnderTest, condition_of

pytestmark = pytest.mark.long

ONE = "{contact: '#gpu-help', limits: [{namespaces: [test-*], concurrentRuns: 1}]}"
_INTERVAL_SECONDS = 4.0


@pytest.fixture
def policy(cluster: ClusterUnderTest, tmp_path: Path) -> Iterator[Path]:
    """The document of an operator that works with it: at first, one run at a time."""
    document = tmp_path / "policy.yaml"
    document.write_text(ONE)
    cluster.operator.restart(KUBETUNE_POLICY=str(document))
    yield document
    cluster.operator.restart()


async def changed(policy: Path, text: str) -> None:
    """Put another document in the place of the one before, and give the operator the time to look at it."""
    new = policy.with_suffix(".new")
    new.write_text(text)
    new.rename(policy)
    await asyncio.sleep(_INTERVAL_SECONDS)


def waits(obj: JSON | None) -> bool:
    """Tell whether a run waits for a place in its namespace."""
    return condition_of(obj, "Progressing")["reason"] == "NamespaceLimit"


async def test_a_second_run_waits_for_the_first_and_a_resumed_one_for_its_place(
    cluster: ClusterUnderTest, policy: Path
) -> None:
    await cluster.apply(fine_tune_job("first", "train-steps-400"))
    await running_trainer(cluster, "first")
    second = await cluster.apply(fine_tune_job("second", "train-steps-400"))
    told = await cluster.wait_for("FineTuneJob", "second", waits)
    assert "1 runs at a time" in condition_of(told, "Progressing")["message"]
    assert "by first" in condition_of(told, "Progressing")["message"]
    assert (told["status"]["phase"], await cluster.children("Job", second)) == ("Pending", [])
    await cluster.patch("FineTuneJob", "first", {"spec": {"suspend": True}})
    await running_trainer(cluster, "second")
    reached = step_of(await cluster.get("FineTuneJob", "first"))
    await cluster.patch("FineTuneJob", "first", {"spec": {"suspend": False}})
    first = await cluster.wait_for("FineTuneJob", "first", waits)
    assert "by second" in condition_of(first, "Progressing")["message"]
    assert (first["status"]["phase"], first["status"]["runs"]) == ("Queued", 1)
    await cluster.delete("FineTuneJob", "second")
    await running_trainer(cluster, "first", reached + 1)
    first = await cluster.get("FineTuneJob", "first") or {}
    assert (first["status"]["runs"], first["status"]["epoch"]) == (2, 3)


async def test_a_document_that_changes_counts_at_once_and_leaves_what_runs_alone(
    cluster: ClusterUnderTest, policy: Path
) -> None:
    await cluster.apply(fine_tune_job("first", "train-steps-400"))
    await running_trainer(cluster, "first")
    assert cluster.operator.figure("kubetune_policy_valid") == 1
    await changed(policy, "{contact: '#gpu-help', uris: {schemes: [hf]}}")
    await cluster.apply(fine_tune_job("refused"))
    refused = await cluster.finished("FineTuneJob", "refused")
    message = condition_of(refused, "Failed")["message"]
    assert "file:// is none of hf (policy rule uris.schemes); ask #gpu-help" in message
    await changed(policy, "{uris: {schemes: 7}}")

    async def rejected() -> bool:
        return cluster.operator.figure("kubetune_policy_valid") == 0

    await cluster.wait_until(rejected, what="a document that is told to be rejected")
    await cluster.apply(fine_tune_job("still-refused"))
    refused = await cluster.finished("FineTuneJob", "still-refused")
    assert condition_of(refused, "Failed")["reason"] == "PolicyViolation"
    await changed(policy, "{}")
    await cluster.apply(fine_tune_job("allowed"))
    await cluster.succeeded("FineTuneJob", "allowed")
    first = await cluster.succeeded("FineTuneJob", "first")
    assert len(first["status"]["attempts"]) == 2, "the run was disturbed"
