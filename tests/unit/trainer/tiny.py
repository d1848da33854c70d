"""Tiny models made from a config, a tokenizer trained on the spot, rows, and run files for them."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from kubetune_api.run import RunFile

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
}
_WORDS = ("red", "green", "blue", "one", "two", "three", "four", "five", "six", "seven", "stone", "river", "cloud")


def questions(count: int, start: int = 0) -> list[dict[str, str]]:
    """Return Instruction rows that a tiny model can learn: the answer follows from the question."""
    rows = []
    for index in range(start, start + count):
        first, second = _WORDS[index % 13], _WORDS[(index * 7 + 3) % 13]
        rows.append({"instruction": f"say {first} and {second} number {index}", "output": f"{first} {second} " * 2})
    return rows


def write_rows(path: Path, rows: list[Any]) -> Path:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def tokenizer(template: str | None = TEMPLATE) -> Any:
    """Return a byte-level tokenizer with chat tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    raw.train_from_iterator([f"{row['instruction']} {row['output']}" for row in questions(40)], trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    made.chat_template = template
    return made


def config(kind: str = "llama", **changes: Any) -> Any:
    """Return the config of a tiny model."""
    from transformers import GPT2Config, LlamaConfig, Qwen3Config

    if kind == "gpt2":
        sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "resid_pdrop": 0, "embd_pdrop": 0}
        return GPT2Config(vocab_size=330, attn_pdrop=0, bos_token_id=0, eos_token_id=2, **(sizes | changes))
    made = {"llama": LlamaConfig, "qwen3": Qwen3Config}[kind]
    tied = changes.pop("tie_word_embeddings", kind == "llama")
    return made(vocab_size=330, tie_word_embeddings=tied, bos_token_id=0, eos_token_id=2, **(SIZES | changes))


def model(kind: str = "llama", seed: int = 0, **changes: Any) -> Any:
    """Return a tiny model with random weights, fp32."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config(kind, **changes), dtype=torch.float32)


def write_model(folder: Path, kind: str = "llama", template: str | None = TEMPLATE, **changes: Any) -> Path:
    """Write a model folder; the weights of a kind are made once a test session."""
    shutil.copytree(_made(kind, template, tuple(sorted(changes.items()))), folder)
    return folder


@functools.cache
def _made(kind: str, template: str | None, changes: tuple[tuple[str, Any], ...]) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="kubetune-tiny-"))
    model(kind, **dict(changes)).save_pretrained(folder)
    tokenizer(template).save_pretrained(folder)
    return folder


def run_file(stage: str, workspace: Path, model_folder: Path, train: Path, **changes: Any) -> RunFile:
    """Return a run file; `changes` are merged into the JSON form."""
    document: dict[str, Any] = {
        "stage": stage,
        "run": {"kind": "FineTuneJob", "namespace": "team", "name": "tiny", "uid": "1"},
        "workspace": str(workspace),
        "workspaceUri": "pvc://tiny-ws",
        "compute": {"cpu": 1},
        "model": {"uri": model_folder.as_uri()},
        "dataset": {"train": [{"uri": train.as_uri()}], "validation": {"fraction": "0.1"}},
        "training": {
            "globalBatchTokens": 256,
            "sequenceLength": 128,
            "learningRate": "5e-3",
            "precision": "FP32",
            "evaluateEvery": {"steps": 4},
        },
    }
    return RunFile.model_validate(merged(document, changes))


def merged(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a document with changes laid over it; a None takes the entry away."""
    result = dict(document)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


def write_run(path: Path, run: RunFile) -> Path:
    """Write a run file."""
    path.write_text(json.dumps(run.dump()), encoding="utf-8")
    return path


def trainer_command(run_json: Path) -> list[str]:
    """Return the command that runs a stage."""
    return [sys.executable, "-m", "kubetune_trainer", str(run_json)]


def trainer_environment(folder: Path) -> dict[str, str]:
    """Return the environment of the trainer: one thread, no hub, termination message in `folder`."""
    more = {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "KUBETUNE_TERMINATION_LOG": str(folder / "termination.json"),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    return os.environ | more


def run_trainer(run_json: Path) -> subprocess.CompletedProcess[str]:
    """Run a stage as the pod does, and wait for it."""
    command, environment = trainer_command(run_json), trainer_environment(run_json.parent)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
