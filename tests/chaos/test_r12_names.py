"""R12: a name says nothing about whose an object is: no adoption by name, and nothing of others is touched."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chaos.conftest import Prepare
from chaos.harness import crowd
from chaos.harness.arena import Arena, hollow
from cluster.harness.hollow_kubelet import Life, forever
from cluster.harness.manifests import fine_tune_job
from cluster.harness.under_test import JSON, condition_of
from kubetune_api import names


@pytest.mark.quick
@pytest.mark.bar("R12")
@pytest.mark.timeout(300)
async def test_r12_a_name_used_again_within_a_second(prepare: Prepare, figure: Callable[[str], None]) -> None:
    """Bar: deleted while it runs, made anew at once: the new one adopts nothing, and has children of its own."""
    lives = {"endless": True}

    def life(pod: JSON) -> Life:
        train = pod["metadata"]["labels"][names.LABEL_STAGE] == "train"
        return Life(0, forever) if train and lives["endless"] else Life()

    async with prepare() as arena, hollow(arena, life):
        await arena.operator.up()
        old = await arena.create(fine_tune_job("j-1"))
        await arena.wait_until(lambda: _runs(arena, old), 60, "the old one trains")
        lives["endless"] = False
        await arena.delete("FineTuneJob", "j-1")
        await arena.wait_for("FineTuneJob", "j-1", lambda obj: obj is None)
        new = await arena.create(fine_tune_job("j-1"))
        await arena.succeeded("FineTuneJob", "j-1")
        await arena.proven()
        for child in arena.history.created("Job", "ConfigMap", "PersistentVolumeClaim"):
            owners = {each["uid"] for each in child.obj["metadata"].get("ownerReferences", [])}
            label = child.obj["metadata"].get("labels", {}).get(names.LABEL_OWNER_UID)
            assert label is None or owners == {label}, f"{child.kind} {child.name} has owners {owners}"
        theirs = await arena.children("Job", new)
        assert len(theirs) == 2
        # A garbage collector of the real control plane learns of new kinds every 30 s.
        await arena.wait_until(lambda: _gone(arena, old), 75, "the children of the old one are collected")
        figure("made again at once: 0 adopted")


async def _runs(arena: Arena, owner: JSON) -> bool:
    return any(pod["status"].get("phase") == "Running" for pod in await arena.children("Pod", owner, "train"))


async def _gone(arena: Arena, owner: JSON) -> bool:
    return not await arena.children("Job", owner)


@pytest.mark.quick
@pytest.mark.bar("R12")
@pytest.mark.timeout(300)
async def test_r12_a_foreign_job_of_the_name(prepare: Prepare, figure: Callable[[str], None]) -> None:
    """Bar: somebody else's Job has the name: it is told, left exactly as it is, and the run goes on when it is gone."""
    container = {"name": "c", "image": "none"}
    async with prepare() as arena, hollow(arena, crowd.life_of):
        await arena.operator.up()
        made = await arena.create(fine_tune_job("j-1", suspend=True))
        name = names.stage_name("j-1", made["metadata"]["uid"], "prepare", 1)
        spec = {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
        await arena.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec})
        await arena.patch("FineTuneJob", "j-1", {"spec": {"suspend": False}})

        def told(obj: JSON | None) -> bool:
            return condition_of(obj, "Progressing")["reason"] == "NameConflict"

        await arena.wait_for("FineTuneJob", "j-1", told)
        touched = [
            str(write) for write in arena.proxy.writes if write.call.name == name and write.call.verb != "create"
        ]
        assert touched == []
        kept = await arena.get("Job", name)
        assert kept is not None
        assert "ownerReferences" not in kept["metadata"]
        await arena.delete("Job", name)
        await arena.succeeded("FineTuneJob", "j-1", deadline=90)
        figure("foreign Job untouched")
