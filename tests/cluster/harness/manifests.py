"""Manifests of runs whose trainer is the stand-in: a source's path is the script that it follows."""

from __future__ import annotations

from typing import Any

JSON = dict[str, Any]

MODEL = {"uri": "file:///models/tiny"}


def fine_tune_job(name: str = "job", *script: str, evaluation: JSON | None = None, **spec: Any) -> JSON:
    """Return a FineTuneJob; `script` are words such as `train-steps-40` (see stand_in_trainer.py)."""
    body: JSON = {
        "model": MODEL,
        "dataset": {"train": [source(*script)]},
        "resources": {"accelerator": {"count": 0}, "cpu": "100m", "memory": "256Mi"},
        "workspace": {"size": "10Mi"},
        **spec,
    }
    if evaluation is not None:
        body["evaluation"] = {"spec": evaluation}
    return {"apiVersion": "kubetune.io/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": name}, "spec": body}


def eval_run(name: str = "eval", *script: str, **spec: Any) -> JSON:
    """Return an EvalRun of two models."""
    body = {
        "candidates": [
            {"name": "base", "baseline": True, "model": MODEL},
            {"name": "other", "model": {"uri": "file:///models/other"}},
        ],
        "resources": {"accelerator": {"count": 0}, "cpu": "100m", "memory": "256Mi"},
        **tasks(*script),
        **spec,
    }
    return {"apiVersion": "kubetune.io/v1alpha1", "kind": "EvalRun", "metadata": {"name": name}, "spec": body}


def tasks(*script: str) -> JSON:
    """Return the part of an evaluation that says what is measured."""
    task = {"name": "answers", "type": "Generation", "dataset": source(*script), "metrics": ["Rouge"]}
    return {"tasks": [task], "gates": [{"name": "better", "metric": "answers/rougeL", "improvesBy": "0.02"}]}


def source(*script: str) -> JSON:
    """Return a dataset source that carries a script."""
    return {"uri": "file:///" + "/".join([*script, "data.jsonl"])}
