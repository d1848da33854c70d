"""The train stage in this process: what it learns, what it writes, how it ends."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from kubetune_api.report import ResolvedLine, parse_line
from kubetune_trainer.data.prepared import open_prepared
from kubetune_trainer.engine import durable
from kubetune_trainer.engine.forward import Forward, pack
from kubetune_trainer.engine.validation import Validation
from kubetune_trainer.errors import BadDataset, BadSpec, DiskFull, Diverged, as_trainer_error
from kubetune_trainer.paths import open_workspace
from kubetune_trainer.recipes import train
from kubetune_trainer.reporting import Reporter
from unit.trainer.recipes.runs import Job, new_job

BOTH: dict[str, Any] = {"formats": ["Adapter", "Merged"]}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Job:
    job = new_job(tmp_path_factory.mktemp("job"))
    job.prepare()
    return job


@pytest.fixture
def job(prepared: Job, tmp_path: Path) -> Job:
    return prepared.again(tmp_path)


def validation_loss(job: Job, model: Any) -> float:
    held_back = open_prepared(job.workspace.data).validation
    assert held_back is not None
    assert pack(model)
    return Validation(held_back, 256, torch.device("cpu"), packed=True).loss(Forward(model, packed=True), lambda: None)


def test_lora_lowers_the_loss_and_reports_what_it_made(job: Job) -> None:
    final, log = job.train(training={"epochs": 3})
    assert (final.exit_code, final.reason) == (0, "Completed")
    evaluations = json.loads((job.workspace.reports / "training.json").read_text())["evaluations"]
    assert evaluations[-1]["evalLoss"] < evaluations[0]["evalLoss"] - 0.2
    assert final.progress is not None
    assert (final.progress.percent, final.progress.epoch) == (100, "3.00")
    assert [(item.type, item.uri) for item in final.artifacts or []] == [("Adapter", "pvc://tiny-ws/artifacts/adapter")]
    assert final.lineage is not None
    assert final.lineage.dataset_digest == open_prepared(job.workspace.data).digest
    assert not list(job.workspace.checkpoints.glob("step-*"))
    lines = [line for text in log.splitlines() if isinstance(line := parse_line(text), ResolvedLine)]
    assert lines[0].resolved.trainable_parameters == 16 * 2 * (32 + 32 + 32 + 16 + 32 + 16 + 32 + 32 + 3 * (32 + 64))
    assert lines[0].resolved.precision == "FP32"
    assert final.resolved is not None
    assert final.resolved.memory_peak is not None


def test_the_adapter_in_peft_and_the_merged_model_give_the_same_logits(job: Job) -> None:
    job.train(output=BOTH)
    base = AutoModelForCausalLM.from_pretrained(job.model)
    tuned = peft.PeftModel.from_pretrained(base, job.artifacts / "adapter")
    merged = AutoModelForCausalLM.from_pretrained(job.artifacts / "merged")
    tokenizer = AutoTokenizer.from_pretrained(job.artifacts / "merged")
    chat = [{"role": "user", "content": "say red and blue"}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        torch.testing.assert_close(tuned(input_ids=ids).logits, merged(input_ids=ids).logits, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(
            AutoModelForCausalLM.from_pretrained(job.model)(input_ids=ids).logits, tuned(ids).logits
        )


def test_each_artifact_has_lineage_card_and_a_digest_over_its_files(job: Job) -> None:
    final, _ = job.train(output=BOTH, image="registry.example/trainer:1")
    for item in final.artifacts or []:
        folder = job.artifacts / item.uri.rpartition("/")[2]
        assert durable.intact(folder)
        assert item.size_bytes == sum(f.stat().st_size for f in folder.iterdir() if f.name != "manifest.json")
        lineage = json.loads((folder / "lineage.json").read_text())
        assert lineage["model"]["uri"] == job.model.as_uri()
        assert lineage["trainerImage"] == "registry.example/trainer:1"
        assert lineage["steps"] == final.progress.step
        assert "tuning LoRA" in (folder / "README.md").read_text()
        assert all(file.stat().st_mode & 0o044 for file in folder.iterdir())


def test_the_same_run_makes_the_same_digest(prepared: Job, tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        final, _ = prepared.again(tmp_path / name).train(output=BOTH)
        digests.append([item.digest for item in final.artifacts or []])
    assert digests[0] == digests[1]


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt2"])
def test_all_weights_are_tuned_and_the_model_reloads_in_transformers(kind: str, tmp_path: Path) -> None:
    job = new_job(tmp_path / kind, kind, rows=80)
    job.prepare()
    final, _ = job.train(method={"tuning": "Full"}, training={"epochs": 2, "learningRate": "2e-3"})
    assert [item.type for item in final.artifacts or []] == ["Merged"]
    model = AutoModelForCausalLM.from_pretrained(job.artifacts / "merged")
    assert model.dtype == torch.float32
    reported = json.loads((job.workspace.reports / "training.json").read_text())["evaluations"][-1]["evalLoss"]
    assert validation_loss(job, model) == pytest.approx(reported, abs=1e-5)


def test_bf16_keeps_small_updates_in_fp32_masters(job: Job) -> None:
    final, _ = job.train(method={"tuning": "Full"}, training={"precision": "BF16", "learningRate": "2e-3"})
    evaluations = json.loads((job.workspace.reports / "training.json").read_text())["evaluations"]
    assert evaluations[-1]["evalLoss"] < evaluations[0]["evalLoss"] - 0.1
    assert final.resolved is not None
    assert final.resolved.precision == "BF16"


def test_packing_off_gives_each_example_a_row_and_the_same_training(prepared: Job, tmp_path: Path) -> None:
    losses = []
    for packing in (True, False):
        job = prepared.again(tmp_path / str(packing))
        job.train(training={"packing": packing})
        entries = (job.workspace.reports / "metrics.jsonl").read_text().splitlines()
        losses.append([entry["loss"] for text in entries if "loss" in (entry := json.loads(text))])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_activation_checkpointing_changes_memory_only(prepared: Job, tmp_path: Path) -> None:
    digests = []
    for toggle in ("On", "Off"):
        job = prepared.again(tmp_path / toggle)
        job.train(training={"activationCheckpointing": toggle})
        digests.append(durable.sha256_of(job.artifacts / "adapter" / "adapter_model.safetensors"))
    assert digests[0] == digests[1]


def losses(job: Job) -> list[float]:
    entries = [json.loads(line) for line in (job.workspace.reports / "metrics.jsonl").read_text().splitlines()]
    return [entry["loss"] for entry in entries if "loss" in entry]


def test_a_divided_micro_batch_leaves_every_step_what_it_was(prepared: Job, tmp_path: Path) -> None:
    seen, accumulations = [], []
    for divisor in (1, 2, 1024):
        job = prepared.again(tmp_path / str(divisor))
        final, log = job.train(adjustments={"microBatchDivisor": divisor})
        seen.append(losses(job))
        assert final.resolved is not None
        accumulations.append((final.resolved.micro_batch_tokens, final.resolved.accumulation))
        assert ("memory ran out before" in log) == (divisor > 1)
    np.testing.assert_allclose(seen[1], seen[0], rtol=1e-5)
    np.testing.assert_allclose(seen[2], seen[0], rtol=1e-5)
    assert accumulations[:2] == [(256, 1), (128, 2)]
    assert accumulations[2][1] > 4, "an example a micro-batch is the least"


def test_memory_that_runs_out_in_a_step_halves_the_micro_batch_and_nothing_else(
    prepared: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prepared.again(tmp_path / "whole")
    whole.train()
    real = Forward.loss

    def loss(self: Forward, batch: Any) -> Any:
        if batch.segments.total > 140 and self.model.training:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, batch)

    monkeypatch.setattr(Forward, "loss", loss)
    job = prepared.again(tmp_path / "halved")
    _, log = job.train()
    assert "step 1: out of memory; micro-batches have at most 12" in log
    np.testing.assert_allclose(losses(job), losses(whole), rtol=1e-5)


def test_memory_that_does_not_hold_one_example_ends_the_run(
    prepared: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loss(self: Forward, batch: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Forward, "loss", loss)
    run = prepared.again(tmp_path).run_file("train", dataset={"validation": {"fraction": "0"}})
    with pytest.raises(torch.OutOfMemoryError) as caught:
        train.run(run, open_workspace(run), Reporter(io.StringIO()))
    known = as_trainer_error(caught.value)
    assert (known.exit_code, known.reason) == (71, "OutOfMemory")


def test_early_stopping_exports_the_best_step(job: Job) -> None:
    final, log = job.train(
        method={"tuning": "Full"},
        training={
            "epochs": 30,
            "learningRate": "3e-2",
            "evaluateEvery": {"steps": 2},
            "earlyStopping": {"patience": 2},
            "schedule": {"type": "Constant"},
        },
    )
    state = json.loads((job.workspace.reports / "training.json").read_text())["state"]
    best, step = state["judgement"]["best"], state["judgement"]["best_step"]
    assert step < state["step"] < 30 * 18
    assert f"stopped early at step {state['step']}" in final.message
    assert f"The weights of step {step} are exported" in log
    model = AutoModelForCausalLM.from_pretrained(job.artifacts / "merged")
    assert validation_loss(job, model) == pytest.approx(best, abs=1e-5)
    assert best < state["judgement"]["loss"]


def test_a_finished_run_is_reported_again_and_nothing_is_done(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = job.train()
    before = {path: path.stat().st_mtime_ns for path in job.artifacts.rglob("*")}
    monkeypatch.setattr(train, "load", lambda *_: pytest.fail("nothing is loaded"))
    again, log = job.train()
    assert again == first
    assert "Training has ended before" in log
    assert {path: path.stat().st_mtime_ns for path in job.artifacts.rglob("*")} == before


def test_a_finished_run_with_a_damaged_artifact_is_done_again(job: Job) -> None:
    first, _ = job.train()
    weights = job.artifacts / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    again, log = job.train()
    assert "Training has ended before" not in log
    assert again.artifacts == first.artifacts


def test_other_settings_train_again(job: Job) -> None:
    first, _ = job.train()
    again, _ = job.train(training={"learningRate": "1e-3"})
    assert (again.artifacts or [])[0].digest != (first.artifacts or [])[0].digest


def broken_loss(monkeypatch: pytest.MonkeyPatch, broken: range) -> None:
    """Make the loss NaN in some calls of the training loop."""
    real, calls = Forward.loss, iter(range(10**6))

    def loss(self: Forward, batch: Any) -> torch.Tensor:
        value = real(self, batch)
        return value * float("nan") if self.model.training and next(calls) in broken else value

    monkeypatch.setattr(Forward, "loss", loss)


def test_a_step_that_is_not_finite_is_left_out(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    broken_loss(monkeypatch, range(5, 6))
    final, log = job.train()
    assert "left out (not finite)" in log
    assert "1 steps left out" in final.message
    weights = peft.load_peft_weights(str(job.artifacts / "adapter"))
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


def test_steps_in_a_row_that_are_not_finite_go_back_to_a_checkpoint(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    broken_loss(monkeypatch, range(12, 18))
    final, log = job.train(training={"checkpoints": {"everySteps": 1}, "globalBatchTokens": 128})
    assert "back to the weights of step" in log
    assert final.exit_code == 0


def test_a_run_that_stays_not_finite_ends_as_diverged(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    broken_loss(monkeypatch, range(4, 10**6))
    with pytest.raises(Diverged) as caught:
        job.train()
    assert caught.value.exit_code == 78
    assert caught.value.message == (
        "loss or gradients are not finite at step 6 (3 steps left out); lower spec.training.learningRate, raise "
        "warmupFraction, or set precision: FP32"
    )


def test_refuses_to_train_without_prepared_data(tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match="has no prepared data; run the prepare stage first"):
        new_job(tmp_path).train()


def test_refuses_a_workspace_that_cannot_hold_checkpoints_before_the_first_step(job: Job) -> None:
    with pytest.raises(DiskFull) as caught:
        job.train(workspaceBytes=200_000)
    assert caught.value.message.startswith("training (3 checkpoints and the tuned model) takes")
    assert "set spec.workspace.size to at least 1.0 GiB" in caught.value.message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": {"objective": "DPO"}}, "spec.method.objective: DPO is not supported yet; use SFT"),
        ({"method": {"tuning": "QLoRA"}}, "spec.method.tuning: QLoRA is not supported yet; use LoRA or Full"),
        (
            {"training": {"optimizer": "AdamW8bit"}},
            "spec.training.optimizer: AdamW8bit is not supported yet; use AdamW",
        ),
        ({"training": {"compile": "On"}}, "spec.training.compile: On is not supported yet; use Auto or Off"),
        ({"output": {"uri": "s3://b/x"}}, "spec.output.uri: s3://b/x is not supported yet; leave it out"),
        ({"output": {"formats": ["GGUF"]}}, "spec.output.formats[0]: GGUF is not supported yet; use Adapter or Merged"),
        (
            {"method": {"tuning": "Full"}, "output": {"formats": ["Adapter"]}},
            "spec.output.formats: tuning Full makes no adapter; write Merged",
        ),
    ],
)
def test_refuses_what_it_cannot_do_instead_of_ignoring_it(job: Job, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadSpec) as caught:
        job.train(**changes)
    assert caught.value.message == message


def test_a_model_that_mixes_the_examples_of_a_row_gets_one_example_a_row(tmp_path: Path) -> None:
    from transformers import FalconMambaConfig, FalconMambaForCausalLM

    job = new_job(tmp_path, rows=40)
    model = FalconMambaForCausalLM(FalconMambaConfig(vocab_size=330, hidden_size=16, num_hidden_layers=1, state_size=4))
    model.save_pretrained(job.model)
    job.prepare()
    final, log = job.train(training={"maxSteps": 2})
    assert "would mix the examples of a packed row" in log
    assert final.exit_code == 0


def test_the_log_is_for_people_between_the_report_lines(job: Job) -> None:
    _, log = job.train()
    plain = [line for line in log.splitlines() if not line.startswith("KUBETUNE ")]
    assert any(re.match(r"step (\d+)/\1  loss \d\.\d{4}  gradient norm", line) for line in plain)
