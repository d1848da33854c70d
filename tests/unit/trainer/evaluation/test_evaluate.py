"""The evaluate stage in this process: what it measures, what it keeps, how it ends."""

from __future__ import annotations

import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from kubetune_api.report import TERMINATION_LIMIT, EvalProgressLine, parse_line, parse_termination
from kubetune_trainer.errors import BadDataset, BadSpec, Checkpointed, ModelUnavailable
from kubetune_trainer.evaluation.store import TaskStore
from unit.trainer import tiny
from unit.trainer.evaluation.evaluations import World, held_out, task
from unit.trainer.recipes.pods import Pod


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def uri(world: World) -> str:
    return world.rows("heldout.jsonl", held_out())


def base(world: World, **more: Any) -> dict[str, Any]:
    return {"name": "base", "baseline": True, "model": world.model("base"), **more}


def other(world: World, **more: Any) -> dict[str, Any]:
    return {"name": "other", "model": world.model("other", seed=5), **more}


def values(world: World, task_name: str, metric: str) -> dict[str, float]:
    (found,) = [t for t in world.document()["tasks"] if t["name"] == task_name]
    (listed,) = [m for m in found["metrics"] if m["name"] == metric]
    return {entry["candidate"]: entry["value"] for entry in listed["values"]}


def write_adapter(world: World, folder: Path, strength: float = 0.3) -> dict[str, Any]:
    """Write a PEFT adapter on the base, and both merged by PEFT; returns the adapter's uri and the merged model."""
    model = AutoModelForCausalLM.from_pretrained(world.folder / "base", dtype=torch.float32)
    torch.manual_seed(3)
    tuned = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"]))
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=strength)
    tuned.save_pretrained(folder / "adapter")
    merged = tuned.merge_and_unload()
    merged.save_pretrained(folder / "merged")
    AutoTokenizer.from_pretrained(world.folder / "base").save_pretrained(folder / "merged")
    return {"adapter": (folder / "adapter").as_uri(), "merged": {"uri": (folder / "merged").as_uri()}}


def test_perplexity_is_that_of_the_answer_tokens(world: World, uri: str) -> None:
    final, _ = world.evaluate([base(world)], [task("Perplexity", uri)])
    model = AutoModelForCausalLM.from_pretrained(world.folder / "base", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(world.folder / "base")
    nats, tokens = 0.0, 0
    for row in held_out():
        prompt = f"<|im_start|>user\n{row['instruction']}<|im_end|>\n<|im_start|>assistant\n"
        ids = [
            tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, row["output"] + "<|im_end|>")
        ]
        with torch.inference_mode():
            shares = model(input_ids=torch.tensor([ids[0] + ids[1]])).logits[0].double().log_softmax(-1)
        nats -= sum(float(shares[len(ids[0]) + i - 1, token]) for i, token in enumerate(ids[1]))
        tokens += len(ids[1])
    assert values(world, "perplexity", "perplexity")["base"] == pytest.approx(math.exp(nats / tokens), rel=1e-5)
    assert final.verdict is not None
    assert final.verdict.startswith("Only base was evaluated: perplexity ")


def test_generation_has_every_metric_asked_the_first_one_in_front(world: World, uri: str) -> None:
    world.evaluate(
        [base(world), other(world)],
        [task("Generation", uri, metrics=["Rouge", "ExactMatch", "Bleu", "Chrf"])],
    )
    (found,) = world.document()["tasks"]
    names = [metric["name"] for metric in found["metrics"]]
    assert names == ["rougeL", "rouge1", "rouge2", "rougeLsum", "exactMatch", "bleu", "chrf"]
    assert found["main"] == "rougeL"
    assert (found["rows"], found["groups"]) == (24, 12)
    assert found["metrics"][0]["differences"][0]["candidate"] == "other"


def test_an_answer_that_is_no_label_counts_as_wrong(world: World, uri: str) -> None:
    world.evaluate([base(world), other(world)], [task("Classification", uri)])
    answers = world.predictions("classification", "base")
    labels = {row["label"] for row in held_out()}
    assert not any(answer["text"].strip() in labels for answer in answers), "random weights name no label"
    for metric in ("accuracy", "precision", "recall", "f1"):
        assert values(world, "classification", metric)["base"] == 0.0


def test_examples_stand_before_the_question_and_are_no_held_out_rows(world: World, uri: str) -> None:
    training = [row | {"group": f"t{i}"} for i, row in enumerate(tiny.questions(8))]
    source = world.rows("examples.jsonl", [*held_out()[:6], *training])
    shots = {"prompt": {"examples": {"count": 3, "source": {"uri": source}}}}
    world.evaluate(
        [base(world), other(world, name="shot", model=world.model("base"), **shots)], [task("Perplexity", uri)]
    )
    (found,) = world.document()["tasks"]
    prompt = found["prompts"]["shot"]
    assert prompt.count("<|im_start|>assistant\n") == 4
    assert not any(row["instruction"] in prompt for row in held_out()[1:])
    assert sum(row["instruction"] in prompt for row in training) == 3
    assert found["cost"][1]["promptTokens"] > 3 * found["cost"][0]["promptTokens"]


def test_too_few_fit_examples_are_refused(world: World, uri: str) -> None:
    source = world.rows("examples.jsonl", [*held_out(), *tiny.questions(2)])
    shots = {"prompt": {"examples": {"count": 3, "source": {"uri": source}}}}
    with pytest.raises(BadDataset, match="has 2 rows that are fit for examples, 3 are asked"):
        world.evaluate([base(world, **shots)], [task("Perplexity", uri)])


def test_an_adapter_answers_as_the_merged_model_does(world: World, uri: str, tmp_path: Path) -> None:
    world.model("base")
    made = write_adapter(world, tmp_path)
    candidates = [
        base(world),
        {"name": "tuned", "model": world.model("base"), "adapter": made["adapter"]},
        {"name": "merged", "model": made["merged"]},
    ]
    world.evaluate(candidates, [task("Perplexity", uri), task("Generation", uri)])
    found = values(world, "perplexity", "perplexity")
    assert found["tuned"] == pytest.approx(found["merged"], rel=1e-5)
    assert found["tuned"] != pytest.approx(found["base"], rel=1e-3)
    texts = [[row["text"] for row in world.predictions("generation", name)] for name in ("tuned", "merged")]
    assert texts[0] == texts[1]


def test_an_adapter_of_another_base_is_refused(world: World, uri: str, tmp_path: Path) -> None:
    world.model("base")
    made = write_adapter(world, tmp_path)
    wide = world.model("wide", hidden_size=64)
    with pytest.raises(ModelUnavailable, match="trained on another base"):
        world.evaluate([{"name": "tuned", "model": wide, "adapter": made["adapter"]}], [task("Perplexity", uri)])


def test_the_same_model_twice_shows_no_difference(world: World, uri: str) -> None:
    twin = {"name": "twin", "model": world.model("base")}
    tasks = [task("Perplexity", uri), task("Generation", uri)]
    gates = [{"name": "better", "metric": "perplexity/perplexity", "improvesBy": "0"}]
    final, _ = world.evaluate([base(world), twin], tasks, gates=gates)
    assert final.verdict is not None
    assert final.verdict.startswith("No difference between twin and base is shown")
    assert [gate.passed for gate in final.gates or []] == [False]
    assert all(result.p_value == "1" for result in final.results or [])
    assert world.document()["tone"] == "unclear"


def test_gates_pass_fail_or_stay_open(world: World, uri: str) -> None:
    gates = [
        {"name": "low", "metric": "perplexity/perplexity", "atMost": "1e9"},
        {"name": "high", "metric": "perplexity/perplexity", "atMost": "2"},
    ]
    few = world.rows("few.jsonl", held_out(4))
    open_gate = {"name": "open", "metric": "few/perplexity", "improvesBy": "0"}
    tasks = [task("Perplexity", uri), task("Perplexity", few, name="few")]
    final, _ = world.evaluate([base(world), other(world)], tasks, gates=[*gates, open_gate])
    assert [gate.passed for gate in final.gates or []] == [True, False, None]
    assert [gate["passed"] for gate in world.document()["gates"]] == [True, False, None]
    page = (world.report / "report.html").read_text()
    assert all(mark in page for mark in ("✔ passed", "✘ failed", "? undecided"))


def stop_after(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send this process SIGTERM when so many rows are kept."""
    real, seen = TaskStore.append, 0

    def append(self: TaskStore, prediction: Any) -> None:
        nonlocal seen
        real(self, prediction)
        seen += 1
        if seen == rows:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(TaskStore, "append", append)


def test_sigterm_keeps_finished_rows_and_the_next_attempt_makes_only_the_rest(
    world: World, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates, tasks = [base(world), other(world)], [task("Perplexity", uri), task("Generation", uri)]
    monkeypatch.setattr("kubetune_trainer.evaluation.predict.Budget.batch_tokens", 64, raising=False)
    monkeypatch.setattr("kubetune_trainer.generation.decode._MAX_ROWS", 4)
    with monkeypatch.context() as patch:
        stop_after(24 + 8, patch)
        with pytest.raises(Checkpointed) as caught:
            world.evaluate(candidates, tasks)
    assert caught.value.exit_code == 75
    kept = (world.report / "state" / "generation.base.jsonl").read_text().splitlines()[1:]
    before = {line["index"]: line for line in map(json.loads, kept) if "index" in line}
    assert 8 <= len(before) < 24
    made: list[int] = []
    real = TaskStore.append
    monkeypatch.setattr(TaskStore, "append", lambda self, p: (made.append(p.index), real(self, p))[1])
    final, log = world.evaluate(candidates, tasks)
    assert final.exit_code == 0
    assert "base on perplexity: complete from before, 24 rows" in log
    assert len(made) == 2 * 24 + 24 - len(before)
    after = world.predictions("generation", "base")
    assert all(after[index]["text"] == line["text"] for index, line in before.items())


def test_other_weights_under_the_same_name_are_evaluated_anew(world: World, uri: str) -> None:
    first, _ = world.evaluate([base(world)], [task("Perplexity", uri)])
    second, log = world.evaluate([base(world, model=world.model("other", seed=5))], [task("Perplexity", uri)])
    assert "complete from before" not in log
    assert first.verdict != second.verdict


def test_the_termination_message_fits_and_keeps_the_main_results(world: World, uri: str) -> None:
    rivals = [other(world, name=f"rival-{'x' * 40}-{i}") for i in range(6)]
    tasks = [task("Generation", uri, name=f"task-{i}-{'y' * 30}") for i in range(3)]
    final, _ = world.evaluate([base(world), *rivals], tasks)
    message = final.termination_message()
    assert len(message.encode()) <= TERMINATION_LIMIT
    read = parse_termination(message)
    assert read is not None
    assert read.verdict == final.verdict
    assert read.report == "pvc://tiny-ws/reports/tiny-eval/report.html"
    assert read.results, "the main result is worth more than completeness"


def test_rows_too_long_for_the_model_are_left_out_and_counted(world: World, uri: str) -> None:
    long = [{"instruction": "say " + "red " * 300, "output": "red"}, *held_out()]
    world.evaluate([base(world)], [task("Perplexity", world.rows("long.jsonl", long))])
    (found,) = world.document()["tasks"]
    assert (found["rows"], found["leftOut"]) == (24, 1)
    assert "1 row too long for some candidate" in (world.report / "report.html").read_text()


def test_progress_never_runs_backwards_and_ends_at_100(world: World, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubetune_trainer.evaluation.progress._EVERY_SECONDS", 0.0)
    _, log = world.evaluate([base(world), other(world)], [task("Perplexity", uri), task("Generation", uri)])
    lines = [line for text in log.splitlines() if isinstance(line := parse_line(text), EvalProgressLine)]
    percents = [line.percent for line in lines]
    assert percents == sorted(percents)
    assert percents[-1] == 100


@pytest.mark.parametrize(
    ("tasks", "gates", "message"),
    [
        ([{"type": "Safety"}], [], "type: Safety is not supported yet"),
        ([{"type": "Generation", "metrics": ["F1"]}], [], "F1 is not for type Generation"),
        ([{"type": "Perplexity"}], [{"metric": "perplexity/rougeL", "atLeast": "1"}], "did you mean"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_a_model_is_read(
    world: World, uri: str, tasks: list[dict[str, Any]], gates: list[dict[str, Any]], message: str
) -> None:
    listed = [task(entry["type"], uri) | entry for entry in tasks]
    missing = {"name": "base", "baseline": True, "model": {"uri": "file:///nowhere"}}
    with pytest.raises(BadSpec, match=message):
        world.evaluate([missing], listed, gates=[{"name": "g", **gate} for gate in gates])


def test_evaluations_that_share_a_workspace_at_the_same_time_do_not_meet(world: World, uri: str) -> None:
    pods = []
    for uid in ("8", "9"):
        candidates, tasks = [base(world), other(world)], [task("Perplexity", uri), task("Generation", uri)]
        document = world.run_file(candidates, tasks, report=f"eval-{uid}").dump()
        document["run"] |= {"name": f"eval-{uid}", "uid": uid}
        path = world.folder / f"run-{uid}.json"
        path.write_text(json.dumps(document))
        environment = tiny.trainer_environment(world.folder) | {
            "KUBETUNE_TERMINATION_LOG": str(world.folder / f"termination-{uid}.json")
        }
        pods.append(Pod(path, environment, world.folder / f"log-{uid}.txt"))
    try:
        assert [pod.wait(200) for pod in pods] == [0, 0], [log.read_text() for log in world.folder.glob("log-*")]
    finally:
        for pod in pods:
            pod.kill()
    world.evaluate([base(world), other(world)], [task("Perplexity", uri), task("Generation", uri)])
    folders = [world.report, *(world.report.with_name(f"eval-{uid}") for uid in ("8", "9"))]
    predictions = [
        {file.name: file.read_text() for file in sorted((folder / "predictions").iterdir())} for folder in folders
    ]
    assert len(predictions[0]) == 4
    assert predictions[1] == predictions[2] == predictions[0]
    assert all((folder / "report.json").is_file() for folder in folders)
