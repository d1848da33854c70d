"""Throughput of the training engine against TRL's SFTTrainer: same model, same tokens, same supervised tokens.

    python tests/bench/trainer_vs_trl.py            # QUICK=1 for a short look; needs `pip install .[bench]`

Each contestant is a process of its own with the model in memory. They take turns, round by round, so that a noisy
machine is noisy for all; a round is one epoch over the same examples. The last line is one JSON document.

    kubetune       this engine: packed rows, attention within segments, logits where supervised
    trl-default    SFTTrainer as it comes: padded batches of 8, activation checkpointing
    trl-sorted     padded batches of examples of like length, no checkpointing
    trl-packed     best-fit packing into rows of 2,048 tokens, no checkpointing

Throughput counts tokens that are no padding. The first round warms up and is not counted.
"""

from __future__ import annotations

import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[2] / part) for part in ("crds", "trainer")]

QUICK = bool(os.environ.get("QUICK"))
THREADS = int(os.environ.get("THREADS", os.cpu_count() or 1))
EXAMPLES, ROUNDS = (16, 1) if QUICK else (32, 3)
CONTESTANTS = ("kubetune", "trl-default", "trl-sorted", "trl-packed")
ROW_TOKENS, BATCH, RATE, SEED = 2048, 8, 3e-4, 11
SHAPE = {
    "vocab_size": 16_384,
    "hidden_size": 320,
    "intermediate_size": 864,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}


class Chats:
    """Random chats of 49 to 1,421 tokens, most of them short; the answer, some 60 %, is supervised."""

    def __init__(self) -> None:
        draw = np.random.default_rng(SEED)
        self.lengths = np.clip(np.exp(draw.normal(5.5, 0.8, EXAMPLES)), 49, 1421).astype(np.int64)
        self._ids = [draw.integers(3, SHAPE["vocab_size"], length).astype(np.int32) for length in self.lengths]
        self._masks = [np.arange(length) >= 0.4 * length for length in self.lengths]

    def example(self, index: int) -> tuple[Any, Any]:
        """Return token ids and what is supervised."""
        return self._ids[index], self._masks[index]

    @property
    def tokens(self) -> int:
        """Tokens of one epoch."""
        return int(self.lengths.sum())

    @property
    def supervised(self) -> int:
        """Supervised tokens of one epoch."""
        return sum(int(mask.sum()) for mask in self._masks)


def build_model() -> tuple[Any, bool]:
    """Return the model and whether it computes in bf16: where the hardware does."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from kubetune_api.training import Precision
    from kubetune_trainer.engine import precision

    torch.set_num_threads(THREADS)
    torch.manual_seed(SEED)
    bf16 = precision.resolve(Precision.AUTO, torch.device("cpu")) is Precision.BF16
    return LlamaForCausalLM(LlamaConfig(**SHAPE)), bf16


def kubetune(chats: Chats, folder: Path) -> Callable[[], float]:
    """Return a round of our engine, which returns its mean loss."""
    import torch

    from kubetune_api.training import TrainingSpec
    from kubetune_trainer.engine.batches import plan_order
    from kubetune_trainer.engine.checkpoint import Checkpoints
    from kubetune_trainer.engine.forward import Forward, pack
    from kubetune_trainer.engine.loop import Loop, Plan
    from kubetune_trainer.engine.optimizer import Optimizer
    from kubetune_trainer.engine.progress import History
    from kubetune_trainer.engine.stop import StopFlag
    from kubetune_trainer.engine.watchdog import Watchdog
    from kubetune_trainer.reporting import Reporter

    model, bf16 = build_model()
    model.to(torch.bfloat16 if bf16 else torch.float32)
    assert pack(model)
    training = TrainingSpec(learning_rate=str(RATE), global_batch_size=BATCH, schedule={"type": "Constant"})
    optimizer = Optimizer(model.named_parameters(), training)
    order = plan_order(chats.lengths, SEED, None, BATCH)
    plan = Plan(order, order.steps_per_epoch, ROW_TOKENS, training, torch.device("cpu"))
    forward, checkpoints = Forward(model, packed=True), Checkpoints(folder / "none", "bench", 1)

    def play() -> float:
        reporter, history = Reporter(io.StringIO()), History(folder / "metrics.jsonl", -1)
        with Watchdog(reporter) as watchdog:
            Loop(plan, forward, optimizer, chats, None, checkpoints).run(reporter, history, StopFlag(), watchdog)
        return statistics.fmean(entry["loss"] for entry in history.entries)

    return play


def trl(kind: str, chats: Chats, folder: Path) -> Callable[[], float]:
    """Return a round of TRL, which returns its mean loss."""
    import datasets
    from transformers import PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    model, bf16 = build_model()
    rows = [chats.example(index) for index in range(EXAMPLES)]
    data = datasets.Dataset.from_dict(
        {
            "input_ids": [ids.tolist() for ids, _ in rows],
            "completion_mask": [mask.astype(int).tolist() for _, mask in rows],
        }
    )
    settings: dict[str, Any] = {
        "trl-default": {"per_device_train_batch_size": BATCH},
        "trl-sorted": {
            "per_device_train_batch_size": BATCH,
            "gradient_checkpointing": False,
            "train_sampling_strategy": "group_by_length",
        },
        "trl-packed": {"per_device_train_batch_size": 1, "gradient_checkpointing": False, "packing": True},
    }[kind]
    config = SFTConfig(
        output_dir=str(folder),
        num_train_epochs=1,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        max_length=ROW_TOKENS,
        completion_only_loss=True,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=bf16,
        seed=SEED,
        disable_tqdm=True,
        **settings,
    )
    from tokenizers import Tokenizer, models

    words = {f"t{index}": index for index in range(SHAPE["vocab_size"])}
    raw = Tokenizer(models.WordLevel(words, unk_token="t0"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="t2", pad_token="t1")

    def play() -> float:
        trainer = SFTTrainer(model=model, args=config, train_dataset=data, processing_class=tokenizer)
        start = time.perf_counter()
        loss = float(trainer.train().training_loss)
        play.seconds = time.perf_counter() - start  # type: ignore[attr-defined] - training alone, no set-up
        return loss

    return play


def work(kind: str) -> None:
    """Be a contestant: play a round for each line on stdin, and answer with a JSON line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not be taken for an answer
    chats = Chats()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        play = kubetune(chats, folder) if kind == "kubetune" else trl(kind, chats, folder)
        answers.write("{}\n")
        answers.flush()
        for _ in sys.stdin:
            start = time.perf_counter()
            loss = play()
            seconds = getattr(play, "seconds", time.perf_counter() - start)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            answers.write(json.dumps({"seconds": seconds, "loss": loss, "peakMiB": peak}) + "\n")
            answers.flush()


class Contestant:
    """A process that plays rounds."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        quiet = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(THREADS), "TOKENIZERS_PARALLELISM": "false"}
        quiet |= {"HF_HUB_DISABLE_TELEMETRY": "1", "TRANSFORMERS_VERBOSITY": "error"}
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the contestant
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--work", kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=os.environ | quiet,
        )
        self.rounds: list[dict[str, float]] = []

    def answer(self) -> dict[str, float]:
        """Return the next answer; a contestant that died fails the whole measurement with its log."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise SystemExit(f"{self.kind} ended: {self.log.read()[-3000:]}")
        found: dict[str, float] = json.loads(line)
        return found

    def play(self) -> dict[str, float]:
        """Play a round."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.answer()

    def leave(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)
        self.log.close()


def main() -> None:
    """Measure, print a table, and one JSON line."""
    chats = Chats()
    print(f"{EXAMPLES} chats, {chats.tokens} tokens, {chats.supervised} supervised; {THREADS} threads", flush=True)
    contestants = []
    for kind in CONTESTANTS:  # one after the other: loading is not what is measured
        contestants.append(Contestant(kind))
        contestants[-1].answer()
    for number in range(ROUNDS + 1):
        for contestant in contestants:
            result = contestant.play()
            shown = f"{chats.tokens / result['seconds']:8.0f} tokens/s  loss {result['loss']:.4f}"
            print(f"round {number}  {contestant.kind:12}  {shown}{'  (warm-up)' if not number else ''}", flush=True)
            if number:
                contestant.rounds.append(result)
    for contestant in contestants:
        contestant.leave()
    print(json.dumps(summary(chats, contestants)))


def summary(chats: Chats, contestants: list[Contestant]) -> dict[str, Any]:
    """Return the figures of the last line."""
    speed = {
        c.kind: round(chats.tokens / statistics.median(entry["seconds"] for entry in c.rounds)) for c in contestants
    }
    peak = {c.kind: max(int(entry["peakMiB"]) for entry in c.rounds) for c in contestants}
    best = max(("trl-sorted", "trl-packed"), key=lambda kind: speed[kind])
    return {
        "bench": "trainer_vs_trl",
        "tokens": chats.tokens,
        "supervisedTokens": chats.supervised,
        "rounds": ROUNDS,
        "threads": THREADS,
        "tokensPerSecond": speed,
        "peakMiB": peak,
        "finalLoss": {c.kind: round(c.rounds[-1]["loss"], 4) for c in contestants},
        "trlBest": best,
        "timesTrlBest": round(speed["kubetune"] / speed[best], 2),
        "timesTrlDefault": round(speed["kubetune"] / speed["trl-default"], 2),
        "memoryOfTrlBest": round(peak["kubetune"] / peak[best], 2),
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2])
    else:
        main()
