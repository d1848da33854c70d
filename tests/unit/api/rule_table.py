"""What the API server must take and refuse: one table, read by the unit tests and by those of a real API server."""

import copy
from typing import Any

Manifest = dict[str, Any]
MODEL = {"uri": "hf://Qwen/Qwen2.5-0.5B-Instruct"}
DATA = {"train": [{"uri": "pvc://datasets/support.jsonl"}]}
TASK = {"name": "answers", "type": "Generation", "dataset": {"uri": "pvc://datasets/test.jsonl"}}
BASE = {"name": "base", "baseline": True, "model": MODEL}
SHA = "0123456789abcdef0123456789abcdef01234567"


def job(**spec: Any) -> Manifest:
    """Return a FineTuneJob; a None leaves a field out."""
    return _manifest("FineTuneJob", {"model": MODEL, "dataset": DATA} | spec)


def run(**spec: Any) -> Manifest:
    """Return an EvalRun; a None leaves a field out."""
    return _manifest("EvalRun", {"candidates": [BASE], "tasks": [TASK]} | spec)


def _manifest(kind: str, spec: Manifest) -> Manifest:
    kept = {name: value for name, value in spec.items() if value is not None}
    metadata = {"name": "table", "namespace": "default"}
    return copy.deepcopy({"apiVersion": "kubetune.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": kept})


def task(**fields: Any) -> list[Manifest]:
    """Return one task; a None leaves a field out."""
    return [{name: value for name, value in (TASK | fields).items() if value is not None}]


def gate(**fields: Any) -> list[Manifest]:
    """Return one gate."""
    return [{"name": "better", "metric": "answers/rougeL"} | fields]


TAKEN = {
    "the shortest job": job(),
    "the shortest run": run(),
    "LoRA with settings": job(method={"tuning": "LoRA", "lora": {"rank": 8}}),
    "DoRA with settings of LoRA": job(method={"tuning": "DoRA", "lora": {"rank": 8}}),
    "QLoRA with settings of LoRA and a quantised base": job(
        method={"tuning": "QLoRA", "lora": {"rank": 8}, "quantization": {"type": "nf4"}}
    ),
    "QLoRA with nothing said": job(method={"tuning": "QLoRA"}),
    "Full": job(method={"tuning": "Full"}),
    "Spectrum with spectrum": job(method={"tuning": "Spectrum", "spectrum": {"topPercent": 30}}),
    "epochs": job(training={"epochs": 2}),
    "maxSteps": job(training={"maxSteps": 20}),
    "a batch in sequences": job(training={"globalBatchSize": 8}),
    "remote code of a pinned commit": job(model=MODEL | {"trustRemoteCode": True, "revision": SHA}),
    "cores as a number": job(resources={"cpu": 8, "memory": "64Gi"}),
    "a claim that exists": job(workspace={"claimName": "mine"}),
    "a toleration of every taint": job(scheduling={"tolerations": [{"operator": "Exists"}]}),
    "an evaluation with a gate": job(evaluation={"spec": {"tasks": [TASK], "gates": gate(improvesBy="0.02")}}),
    "a candidate of a job": run(candidates=[BASE, {"name": "tuned", "fineTuneJob": "support-bot"}]),
    "a task of the harness": run(tasks=task(type="LmEval", dataset=None, lmEval={"tasks": ["hellaswag"]})),
    "labels of a classification": run(tasks=task(type="Classification", labels=["a", "b"])),
}

REFUSED = {
    "no model": (job(model=None), "spec.model: Required value"),
    "no data": (job(dataset=None), "spec.dataset: Required value"),
    "no source": (job(dataset={"train": []}), "spec.dataset.train in body should have at least 1 items"),
    "a path that is no URI": (job(model={"uri": "/models/x"}), "spec.model.uri in body should match"),
    "remote code of whatever is newest": (
        job(model=MODEL | {"trustRemoteCode": True}),
        "pin the revision to a 40-digit commit",
    ),
    "a revision that is a branch": (
        job(model=MODEL | {"revision": "main"}),
        "spec.model.revision in body should match",
    ),
    "settings of LoRA without it": (
        job(method={"tuning": "Full", "lora": {"rank": 8}}),
        "lora settings need tuning LoRA, QLoRA or DoRA",
    ),
    "a quantised base without QLoRA": (
        job(method={"tuning": "LoRA", "quantization": {"type": "nf4"}}),
        "quantization is allowed with tuning QLoRA only",
    ),
    "Spectrum without spectrum": (job(method={"tuning": "Spectrum"}), "tuning Spectrum needs spectrum"),
    "spectrum without Spectrum": (
        job(method={"tuning": "Full", "spectrum": {"topPercent": 30}}),
        "no other tuning takes it",
    ),
    "an unknown tuning": (job(method={"tuning": "lora"}), 'spec.method.tuning: Unsupported value: "lora"'),
    "epochs and maxSteps": (job(training={"epochs": 1, "maxSteps": 5}), "give epochs or maxSteps, not both"),
    "two batch sizes": (
        job(training={"globalBatchTokens": 4096, "globalBatchSize": 8}),
        "give globalBatchTokens or globalBatchSize, not both",
    ),
    "a learning rate that is no text": (
        job(training={"learningRate": 0.0002}),
        'spec.training.learningRate: Invalid value: "number"',
    ),
    "a learning rate cut short": (
        job(training={"learningRate": "2e"}),
        "spec.training.learningRate in body should match",
    ),
    "no epoch": (job(training={"epochs": 0}), "spec.training.epochs in body should be greater than or equal to 1"),
    "rows of two kinds for validation": (
        job(dataset=DATA | {"validation": {"fraction": "0.1", "sources": DATA["train"]}}),
        "give validation.fraction or validation.sources",
    ),
    "a claim with a storage class": (
        job(workspace={"claimName": "mine", "storageClassName": "fast"}),
        "claimName brings its own storage class",
    ),
    "a toleration with a value that is not compared": (
        job(scheduling={"tolerations": [{"operator": "Exists", "value": "x"}]}),
        "operator Exists takes no value",
    ),
    "a quantity with a word": (job(resources={"memory": "64 GB"}), "spec.resources.memory in body should match"),
    "a runtime without a unit": (job(maxRuntime="24"), "spec.maxRuntime in body should match"),
    "too many retries": (job(retries=101), "spec.retries in body should be less than or equal to 100"),
    "no baseline": (run(candidates=[BASE | {"baseline": False}]), "exactly one candidate must have baseline: true"),
    "two baselines": (
        run(candidates=[BASE, BASE | {"name": "other"}]),
        "exactly one candidate must have baseline: true",
    ),
    "two candidates of a name": (
        run(candidates=[BASE, {"name": "base", "model": MODEL}]),
        "candidate names must differ",
    ),
    "two tasks of a name": (run(tasks=[TASK, TASK]), "task names must differ"),
    "a candidate that is a model and a job": (
        run(candidates=[BASE | {"fineTuneJob": "bot"}]),
        "give either model or fineTuneJob",
    ),
    "a candidate that is nothing": (
        run(candidates=[{"name": "b", "baseline": True}]),
        "give either model or fineTuneJob",
    ),
    "a task without data": (run(tasks=task(dataset=None)), "the task needs a dataset"),
    "a task of the harness without its names": (
        run(tasks=task(type="LmEval", dataset=None)),
        "type LmEval needs lmEval",
    ),
    "names of the harness for another task": (
        run(tasks=task(lmEval={"tasks": ["hellaswag"]})),
        "lmEval needs type LmEval",
    ),
    "labels of a generation": (run(tasks=task(labels=["a", "b"])), "labels need type Classification"),
    "a gate without a condition": (
        run(gates=gate()),
        "give exactly one of improvesBy, atLeast, atMost, regressesAtMost",
    ),
    "a gate with two conditions": (
        run(gates=gate(atLeast="1", atMost="2")),
        "give exactly one of improvesBy, atLeast, atMost, regressesAtMost",
    ),
    "a metric without its task": (
        run(gates=gate(metric="rougeL", atLeast="1")),
        "spec.gates[0].metric in body should match",
    ),
}

#: Changes of an object that exists: (before, after).
MAY_CHANGE = {
    "a job is suspended": (job(), job(suspend=True)),
    "a job is resumed": (job(suspend=True), job(suspend=False)),
    "a job gets more retries": (job(), job(retries=9)),
    "a job gets a time to live": (job(), job(ttlSecondsAfterFinished=60)),
    "a job loses its time to live": (job(ttlSecondsAfterFinished=60), job()),
    "a run is suspended": (run(), run(suspend=True)),
    "a run gets a time to live": (run(), run(ttlSecondsAfterFinished=60)),
    "a default is written out": (job(), job(training={"learningRate": "2e-4"})),
}
MAY_NOT_CHANGE = {
    "another model": (job(), job(model={"uri": "hf://other/model"}), "model is immutable"),
    "more data": (job(), job(dataset={"train": DATA["train"] * 2}), "dataset is immutable"),
    "another learning rate": (job(), job(training={"learningRate": "1e-4"}), "training is immutable"),
    "another method": (job(), job(method={"tuning": "Full"}), "method is immutable"),
    "more accelerators": (job(), job(resources={"accelerator": {"count": 2}}), "resources is immutable"),
    "another runtime": (job(), job(maxRuntime="48h"), "maxRuntime is immutable"),
    "an evaluation is added": (
        job(),
        job(evaluation={"spec": {"tasks": [TASK]}}),
        "evaluation cannot be added or removed",
    ),
    "an evaluation is removed": (
        job(evaluation={"spec": {"tasks": [TASK]}}),
        job(),
        "evaluation cannot be added or removed",
    ),
    "another task": (run(), run(tasks=task(name="other")), "tasks is immutable"),
    "a gate that suits the result": (run(), run(gates=gate(atLeast="0")), "gates is immutable"),
}
