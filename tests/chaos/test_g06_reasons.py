"""G6: each way to fail has a reason of its own, a remedy in one line, and as many attempts as can help."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chaos.conftest import Prepare
from chaos.harness.arena import hollow
from cluster.harness.hollow_kubelet import Life, final_message
from cluster.harness.manifests import fine_tune_job
from cluster.harness.under_test import JSON, condition_of
from kubetune_api import names

#: Job -> stage, exit code, reason that the trainer gives, reason that the job must end with, attempts of the stage.
CASES: dict[str, tuple[str, int, str, str, int]] = {
    "bad-row": ("prepare", 65, "BadDataset", "BadDataset", 1),
    "bad-token": ("prepare", 66, "ModelUnavailable", "ModelUnavailable", 1),
    "disk-full": ("train", 77, "DiskFull", "DiskFull", 1),
    "nan": ("train", 78, "Diverged", "Diverged", 1),
    "bad-spec": ("train", 64, "BadSpec", "BadSpec", 1),
    "out-of-memory": ("train", 71, "OutOfMemory", "OutOfMemory", 2),
    "oom-killed": ("train", 137, "", "OutOfMemory", 2),
}


def life_of(pod: JSON) -> Life:
    """Fail as the job's name says."""
    labels = pod["metadata"]["labels"]
    stage, code, reason, _, _ = CASES[labels[names.LABEL_NAME]]
    if labels[names.LABEL_STAGE] != stage:
        return Life()
    if code == 137:
        return Life(0, 0.2, exit_code=137, message="", reason="OOMKilled")
    return Life(0, 0.2, exit_code=code, message=final_message(stage, code, reason))


@pytest.mark.bar("G6")
@pytest.mark.timeout(300)
async def test_g06_each_failure_has_its_reason(prepare: Prepare, figure: Callable[[str], None]) -> None:
    """Bar: OOM, disk full, bad token, NaN, bad row: own reason and remedy; permanent ones take 1 attempt."""
    async with prepare() as arena, hollow(arena, life_of):
        await arena.operator.up()
        for name in CASES:
            await arena.create(fine_tune_job(name, retries=1))
        done = await arena.all_finished(CASES, 150)
        await arena.proven()
        wrong = []
        for obj in done:
            name = obj["metadata"]["name"]
            stage, _, _, reason, attempts = CASES[name]
            failed = condition_of(obj, "Failed")
            tried = [each for each in obj["status"].get("attempts", []) if each["stage"] == stage]
            text = failed["message"]
            reasons = {failed["reason"], *(each.get("reason") for each in tried)}
            if (
                failed["status"] != "True"
                or reason not in reasons
                or len(tried) != attempts
                or "\n" in text
                or not text
            ):
                wrong.append(f"{name}: {failed['reason']} after {len(tried)} attempts: {text}")
        assert not wrong, "\n".join(wrong)
        figure(f"{len(CASES)} ways to fail: each with its reason, permanent ones after 1 attempt")
