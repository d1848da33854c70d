"""R11: the operator is upgraded and downgraded while jobs run: what runs is not touched."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.conftest import FULL, Prepare
from chaos.harness import crowd
from chaos.harness.arena import Arena, hollow
from chaos.harness.nursery import Nursery
from cluster.harness.hollow_kubelet import Life, forever
from cluster.harness.process import ROOT, environment
from cluster.harness.under_test import JSON
from kubetune_api import names

#: The revision that is downgraded to; the last tag, else the parent of the last commit that changed the operator.
OLD = "CHAOS_OLD_REVISION"
CHANGED = {
    "KUBETUNE_TRAINER_IMAGE": "docker.io/library/python:3.13-slim",
    "KUBETUNE_TERMINATION_GRACE_SECONDS": "33",
    "KUBETUNE_TRAINER_ENV": '{"NEW": "1"}',
    "KUBETUNE_RUN_AS_USER": "12345",
}


def old_revision() -> str | None:
    """Return the revision to go back to; None where there is no history."""
    if told := os.environ.get(OLD):
        return told
    for command in (
        ("git", "describe", "--tags", "--abbrev=0"),
        ("git", "log", "--skip=1", "-1", "--format=%h", "--", "operator/kubetune_operator", "crds/kubetune_api"),
    ):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.strip()
    return None


def unpacked(revision: str, directory: Path) -> Path:
    """Return a folder with the code of a revision."""
    directory.mkdir()
    archive = subprocess.run(
        ["git", "archive", revision, "crds", "operator"], cwd=ROOT, capture_output=True, check=True
    )
    subprocess.run(["tar", "-x", "-C", str(directory)], input=archive.stdout, check=True)
    return directory


async def untouched(arena: Arena, jobs: int, what: str) -> None:
    """Assert that nothing was made, deleted or restarted since all jobs train."""
    await asyncio.sleep(5)
    await arena.history.caught_up()
    assert len(arena.history.created("Job")) == 2 * jobs, f"{what}: Jobs were made"
    assert arena.history.deleted("Job") == [], f"{what}: Jobs were deleted"
    train = [pod for pod in arena.history.created("Pod") if pod.obj["metadata"]["labels"][names.LABEL_STAGE] == "train"]
    assert len(train) == jobs, f"{what}: pods were restarted"


@pytest.mark.bar("R11")
@pytest.mark.timeout(900)
async def test_r11_upgrade_and_downgrade(
    prepare: Prepare, tmp_path: Path, figure: Callable[[str], None], length: str
) -> None:
    """Bar: 50 running jobs: other settings, an older version, and back: 0 Jobs made again, 0 pods restarted."""
    jobs = 50 if length == FULL else 10
    running = True

    def life(pod: JSON) -> Life:
        train = pod["metadata"]["labels"][names.LABEL_STAGE] == "train"
        return Life(0, forever if train and running else 0.2)

    revision = old_revision()
    assert revision is not None, f"there is no earlier revision to go back to: name one in {OLD}"
    code = unpacked(revision, tmp_path / "old")
    path = os.pathsep.join(str(code / room) for room in ("crds", "operator"))
    old = Nursery(environment(PYTHONPATH=path))
    try:
        async with prepare() as arena, hollow(arena, life) as nodes:
            operator, current = arena.operator, arena.operator.nursery
            await operator.up(KUBETUNE_RESYNC_SECONDS="5")
            made = await crowd.make_jobs(arena, jobs, 5)
            await arena.wait_until(lambda: _all_train(arena, jobs), 120, "all jobs train")
            await operator.terminated()
            await operator.up(KUBETUNE_RESYNC_SECONDS="5", **CHANGED)
            await untouched(arena, jobs, "upgraded to other settings")
            await operator.terminated()
            operator.nursery = old
            await operator.up(KUBETUNE_RESYNC_SECONDS="5")
            await untouched(arena, jobs, f"downgraded to {revision}")
            await operator.terminated()
            operator.nursery = current
            await operator.up(KUBETUNE_RESYNC_SECONDS="5")
            await untouched(arena, jobs, "upgraded again")
            running = False
            await nodes.finish_running()
            done = await arena.all_finished(made, 120)
            await arena.proven()
            await untouched(arena, jobs, "at the end")
            assert len(done) == jobs
            figure(f"{jobs} running jobs, settings changed, {revision} and back: 0 Jobs made again, 0 pods restarted")
    finally:
        old.close()


async def _all_train(arena: Arena, jobs: int) -> bool:
    pods = await arena.list("Pod", {names.LABEL_STAGE: "train"})
    return len([pod for pod in pods if pod["status"].get("phase") == "Running"]) == jobs
