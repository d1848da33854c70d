"""The life of one job from the first pod to the verdict, and what is left of it: compared between runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chaos.harness.arena import Arena
from chaos.harness.oracles import counts, differences, end_state
from cluster.harness.manifests import fine_tune_job, tasks
from cluster.harness.under_test import ended

JOB = "job"


def lifecycle() -> dict[str, Any]:
    """Return a job that visits every stage, and one failed attempt: prepare, train twice, evaluate, verdict."""
    return fine_tune_job(JOB, "train-exit-70x1", retries=1, evaluation=tasks())


@dataclass(frozen=True)
class Outcome:
    """What a life has left behind."""

    state: dict[str, Any]
    counts: dict[str, int]
    """How often each child was created and deleted."""

    def differences(self, other: Outcome) -> list[str]:
        """Return where another run came to something else."""
        return differences(self.state, other.state) + differences(self.counts, other.counts)


async def live(arena: Arena, deadline: float = 90) -> Outcome:
    """Run a lifecycle to its end; return what it left behind."""
    await arena.apply(lifecycle())
    await arena.finished("FineTuneJob", JOB, deadline=deadline)
    (run,) = await arena.list("EvalRun")
    await arena.finished("EvalRun", run["metadata"]["name"], deadline=deadline)
    await settled(arena, deadline)
    await arena.proven()
    return Outcome(end_state(arena.history, arena.namespace), counts(arena.history, arena.namespace))


async def settled(arena: Arena, deadline: float = 30) -> None:
    """Wait until the Jobs have written their own end too, and the operator that it has seen the evaluation's."""

    async def told() -> bool:
        jobs, objects = await arena.list("Job"), await arena.list("FineTuneJob")
        over = all(any(each["status"] == "True" for each in job["status"].get("conditions", [])) for job in jobs)
        return over and all(ended(obj) and obj["status"].get("verdict") for obj in objects)

    await arena.wait_until(told, deadline, "the end is told everywhere")
