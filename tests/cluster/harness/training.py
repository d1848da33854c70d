"""A job whose trainer is at work."""

from __future__ import annotations

from typing import Any

from cluster.harness.under_test import DEADLINE, JSON, ClusterUnderTest


def step_of(obj: JSON | None) -> int:
    """Return the step that a job has told of."""
    progress: dict[str, Any] = ((obj or {}).get("status") or {}).get("progress") or {}
    return int(progress.get("step", 0))


async def running_trainer(cluster: ClusterUnderTest, name: str, step: int = 12, deadline: float = DEADLINE) -> JSON:
    """Wait until a job has trained some steps; return its running pod."""
    job = await cluster.wait_for("FineTuneJob", name, lambda obj: step_of(obj) >= step, deadline)

    async def pod() -> JSON | None:
        pods = await cluster.children("Pod", job, "train")
        return next((each for each in pods if each["status"]["phase"] == "Running"), None)

    found = await cluster.wait_until(pod, what="a running trainer")
    assert found is not None
    return found
