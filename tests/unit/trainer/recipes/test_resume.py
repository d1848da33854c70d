"""A run that is stopped, killed or finds damaged checkpoints ends exactly as the run that was left alone."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kubetune_api.report import parse_termination
from kubetune_trainer.engine.checkpoint import Checkpoints
from kubetune_trainer.engine.progress import History
from kubetune_trainer.errors import Checkpointed
from kubetune_trainer.paths import LOCK_FOLDER
from unit.trainer import tiny
from unit.trainer.recipes.runs import Job, new_job

#: Dropout, so that the random state matters; several micro-batches a step.
SETTINGS: dict[str, Any] = {
    "method": {"lora": {"rank": 4, "dropout": "0.1"}},
    "training": {"epochs": 2, "checkpoints": {"everySteps": 3}},
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Job:
    job = new_job(tmp_path_factory.mktemp("job"))
    job.prepare()
    return job


@pytest.fixture(scope="module")
def left_alone(prepared: Job, tmp_path_factory: pytest.TempPathFactory) -> Job:
    job = prepared.again(tmp_path_factory.mktemp("left-alone"))
    job.train(**SETTINGS)
    return job


def outcome(job: Job) -> tuple[bytes, list[str]]:
    """Return the adapter's bytes and every loss on the way."""
    weights = (job.artifacts / "adapter" / "adapter_model.safetensors").read_bytes()
    return weights, (job.workspace.reports / "metrics.jsonl").read_text().splitlines()


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send this process SIGTERM when the step is done."""
    real = History.add

    def add(self: History, **entry: Any) -> None:
        real(self, **entry)
        if entry["step"] == step and "loss" in entry:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(History, "add", add)


@pytest.mark.parametrize("steps", [(1,), (4, 5), tuple(sorted(random.Random(7).sample(range(6, 35), 3)))])
def test_sigterm_at_any_step_changes_nothing_in_the_end(
    prepared: Job, left_alone: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: tuple[int, ...]
) -> None:
    job = prepared.again(tmp_path)
    for step in steps:
        with monkeypatch.context() as patch:
            stop_at(step, patch)
            with pytest.raises(Checkpointed) as caught:
                job.train(**SETTINGS)
        assert caught.value.exit_code == 75
        assert caught.value.message == f"stopped on request at step {step} of 36; the state is saved"
    _, log = job.train(**SETTINGS)
    assert f"Resuming at step {steps[-1]} of 36" in log
    assert outcome(job) == outcome(left_alone)


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: damage(folder / "state.safetensors"),
        lambda folder: (folder / "state.safetensors").write_bytes(b""),
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "state.json").unlink(),
    ],
    ids=["a flipped bit", "an empty file", "no manifest", "no scalars"],
)
def test_a_damaged_checkpoint_is_passed_over(
    prepared: Job, left_alone: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Path], None]
) -> None:
    job = prepared.again(tmp_path)
    with monkeypatch.context() as patch:
        stop_at(11, patch)
        with pytest.raises(Checkpointed):
            job.train(**SETTINGS)
    found = sorted(job.workspace.checkpoints.iterdir())
    assert [path.name[: path.name.rindex(".")] for path in found] == ["step-00000009.e00001", "step-00000011.e00001"]
    harm(found[1])
    _, log = job.train(**SETTINGS)
    assert "Resuming at step 9 of 36" in log
    assert outcome(job) == outcome(left_alone)


def test_checkpoints_of_other_settings_are_not_resumed(
    prepared: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = prepared.again(tmp_path)
    with monkeypatch.context() as patch:
        stop_at(5, patch)
        with pytest.raises(Checkpointed):
            job.train(**SETTINGS)
    _, log = job.train(**tiny.merged(SETTINGS, {"training": {"learningRate": "1e-3"}}))
    assert "Resuming" not in log


def started(job: Job, **changes: Any) -> subprocess.Popen[str]:
    path = tiny.write_run(job.folder / "train.json", job.run_file("train", **tiny.merged(SETTINGS, changes)))
    command, environment = tiny.trainer_command(path), tiny.trainer_environment(job.folder)
    log = (job.folder / "log.txt").open("a")
    return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, text=True)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 120) -> bool:
    """Wait for a condition, or for the end of the process; returns whether the condition held."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.002)
            return False
    raise AssertionError("neither came true nor ended")


def steps_done(job: Job) -> int:
    path = job.workspace.reports / "metrics.jsonl"
    return path.read_text().count('"loss"') if path.exists() else 0


def half_written(job: Job) -> bool:
    """Tell whether a checkpoint is being written."""
    return any((job.workspace.root / LOCK_FOLDER).glob("aside-*/.step-*"))


def test_a_pod_that_gets_sigterm_exits_75_and_the_next_one_goes_on(
    prepared: Job, left_alone: Job, tmp_path: Path
) -> None:
    job = prepared.again(tmp_path)
    process = started(job)
    assert wait_until(lambda: steps_done(job) >= 2, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 75
    final = parse_termination((job.folder / "termination.json").read_text())
    assert final is not None
    assert (final.exit_code, final.reason) == (75, "Checkpointed")
    again = started(job)
    assert again.wait(120) == 0
    assert "Resuming at step" in (job.folder / "log.txt").read_text()
    assert outcome(job) == outcome(left_alone)


def test_a_pod_killed_while_it_saves_leaves_nothing_half_written(
    prepared: Job, left_alone: Job, tmp_path: Path
) -> None:
    job = prepared.again(tmp_path)
    saving = {"training": {"checkpoints": {"everySteps": 1}}}

    killed = 0
    for least in (2, 9):
        process = started(job, **saving)
        if wait_until(lambda least=least: steps_done(job) >= least and half_written(job), process):
            process.kill()
            killed += 1
        process.wait(60)
    assert killed == 2
    assert started(job, **saving).wait(120) == 0
    weights, losses = outcome(job)
    assert weights == outcome(left_alone)[0]
    assert [json.loads(line) for line in losses] == [json.loads(line) for line in outcome(left_alone)[1]]
    assert not half_written(job)


def files(job: Job) -> list[Path]:
    """Return all files of a job but those of the lock."""
    return sorted(path for path in job.folder.rglob("*") if path.is_file() and path.parent.name != LOCK_FOLDER)


def test_a_pod_frozen_while_it_saves_finds_on_waking_that_a_newer_one_has_ended_the_run(
    prepared: Job, left_alone: Job, tmp_path: Path
) -> None:
    job = prepared.again(tmp_path)
    saving = {"training": {"checkpoints": {"everySteps": 1}}}

    frozen = started(job, **saving)
    assert wait_until(lambda: steps_done(job) >= 4 and half_written(job), frozen)
    frozen.send_signal(signal.SIGSTOP)
    reached = steps_done(job)
    try:
        assert started(job, **saving, epoch=2).wait(120) == 0
        before = outcome(job), files(job)
        log = (job.folder / "log.txt").read_text()
        assert f"Resuming at step {reached - 1} of 36" in log or f"Resuming at step {reached} of 36" in log
    finally:
        frozen.send_signal(signal.SIGCONT)
    assert frozen.wait(60) == 75
    final = parse_termination((job.folder / "termination.json").read_text())
    assert final is not None
    assert (final.exit_code, final.reason) == (75, "Superseded")
    assert "epoch 2 of team/tiny took it over" in final.message
    assert (outcome(job), files(job)) == before
    assert outcome(job) == outcome(left_alone)


def test_a_newer_epoch_goes_on_while_the_older_one_still_runs(prepared: Job, left_alone: Job, tmp_path: Path) -> None:
    job = prepared.again(tmp_path)
    older = started(job)
    assert wait_until(lambda: steps_done(job) >= 2, older)
    older.send_signal(signal.SIGSTOP)
    newer = started(job, epoch=2)
    assert wait_until((job.workspace.root / LOCK_FOLDER / "00000002.json").exists, newer)
    older.send_signal(signal.SIGCONT)
    assert older.wait(60) == 75
    assert newer.wait(120) == 0
    assert outcome(job) == outcome(left_alone)


def test_a_checkpoint_that_comes_late_from_an_older_epoch_replaces_nothing(prepared: Job, tmp_path: Path) -> None:
    tensors = {"weight/x": torch.zeros(1)}
    newer = Checkpoints(tmp_path, "run", 2, owner="1", epoch=2)
    newer.save(5, tensors, {})
    Checkpoints(tmp_path, "run", 2, owner="1", epoch=1).save(9, tensors, {})
    saved = newer.newest()
    assert saved is not None
    assert saved.step == 5
    newer.save(6, tensors, {})
    newer.save(7, tensors, {})
    assert [path.name[:20] for path in sorted(tmp_path.iterdir())] == ["step-00000006.e00002", "step-00000007.e00002"]


def test_checkpoints_of_another_job_in_the_same_folder_are_left_alone(tmp_path: Path) -> None:
    tensors = {"weight/x": torch.zeros(1)}
    Checkpoints(tmp_path, "other", 1, owner="2", epoch=9).save(90, tensors, {})
    mine = Checkpoints(tmp_path, "run", 1, owner="1")
    for step in (1, 2):
        mine.save(step, tensors, {})
    saved = mine.newest()
    assert saved is not None
    assert saved.step == 2
    mine.remove_all()
    assert [path.name[:13] for path in tmp_path.iterdir()] == ["step-00000090"]
