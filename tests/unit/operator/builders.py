"""Objects for the operator's tests, with keyword overrides."""

from datetime import UTC, datetime, timedelta
from typing import Any

from kubetune_api import names
from kubetune_api.evalrun import EvalRun
from kubetune_api.finetunejob import FineTuneJob
from kubetune_operator.observe import Observation, Snapshot, Tuning, job_view, observe
from kubetune_operator.observe.pods import PodView, pod_view
from kubetune_operator.observe.timestamps import format_time
from kubetune_operator.plan import Jobs, parse, plan
from kubetune_operator.settings import Settings

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
UID = "5b0c6c26-8a0b-4f0e-9d66-0f5d3c1f2a10"
SETTINGS = Settings()
MODEL = {"uri": "hf://Qwen/Qwen2.5-0.5B-Instruct"}
DATASET = {"train": [{"uri": "pvc://datasets/support.jsonl"}]}
TASK = {"name": "clauses", "type": "Generation", "dataset": {"uri": "pvc://datasets/test.jsonl"}, "metrics": ["Rouge"]}
BASELINE = {"name": "base", "baseline": True, "model": MODEL}

Manifest = dict[str, Any]


def ago(seconds: float) -> str:
    """Return the timestamp of a moment before NOW."""
    return format_time(NOW - timedelta(seconds=seconds))


def job_manifest(status: Manifest | None = None, **spec: Any) -> Manifest:
    """Return a FineTuneJob as the API server stores it."""
    manifest = {
        "apiVersion": "kubetune.io/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "bot", "namespace": "team", "uid": UID, "generation": 1, "resourceVersion": "7"},
        "spec": {"model": MODEL, "dataset": DATASET} | spec,
    }
    return manifest | ({"status": status} if status is not None else {})


def fine_tune_job(status: Manifest | None = None, **spec: Any) -> FineTuneJob:
    """Return a FineTuneJob."""
    parsed = parse(job_manifest(status, **spec))
    assert isinstance(parsed, FineTuneJob), parsed
    return parsed


def eval_run_manifest(status: Manifest | None = None, **spec: Any) -> Manifest:
    """Return an EvalRun as the API server stores it."""
    manifest = job_manifest(status) | {"kind": "EvalRun"}
    manifest["spec"] = {"candidates": [BASELINE], "tasks": [TASK]} | spec
    return manifest


def eval_run(status: Manifest | None = None, **spec: Any) -> EvalRun:
    """Return an EvalRun."""
    parsed = parse(eval_run_manifest(status, **spec))
    assert isinstance(parsed, EvalRun), parsed
    return parsed


def stage_job(
    stage: str, run: int = 1, *, complete: bool = False, failed: str | None = None, retries: int = 0
) -> Manifest:
    """Return the Job of a stage: running, complete, or failed for a reason after its retries."""
    conditions = [{"type": "Complete", "status": "True"}] if complete else []
    conditions += [{"type": "Failed", "status": "True", "reason": failed}] if failed else []
    return {
        "metadata": {"name": names.stage_name("bot", UID, stage, run)},
        "spec": {"backoffLimit": retries},
        "status": {"conditions": conditions},
    }


def pod(
    stage: str,
    run: int = 1,
    *,
    name: str | None = None,
    phase: str = "Running",
    exit_code: int | None = None,
    message: str = "",
    started: float | None = 100,
    ended: float = 10,
    **status: Any,
) -> Manifest:
    """Return the pod of a stage; `started` and `ended` are seconds before NOW."""
    state: Manifest = {}
    if exit_code is not None:
        times = {"startedAt": ago(started or 0), "finishedAt": ago(ended)}
        state = {"terminated": {"exitCode": exit_code, "message": message, "reason": "Error", **times}}
        phase = "Failed" if exit_code else "Succeeded"
    elif phase == "Running" and started is not None:
        state = {"running": {"startedAt": ago(started)}}
    labels = {names.LABEL_STAGE: stage, names.LABEL_RUN: str(run)}
    name = name or f"{names.stage_name('bot', UID, stage, run)}-0-abcde"
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "labels": labels,
            "creationTimestamp": ago((started or 0) + 5),
        },
        "spec": {"nodeName": "node-1"} if phase != "Pending" else {},
        "status": {"phase": phase, "containerStatuses": [{"name": "trainer", "state": state}]} | status,
    }


def unschedulable(stage: str, message: str = "0/1 nodes are available") -> Manifest:
    """Return a pod that no node takes."""
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]
    return pod(stage, phase="Pending", started=None, conditions=conditions)


def views(pods: list[Manifest]) -> list[PodView]:
    """Return pods as the rules see them."""
    return [pod_view(entry) for entry in pods]


def snapshot(
    subject: FineTuneJob | EvalRun,
    *,
    jobs: list[Manifest] | None = None,
    pods: list[Manifest] | None = None,
    candidates: Jobs | None = None,
    settings: Settings = SETTINGS,
    **more: Any,
) -> Snapshot:
    """Return a snapshot of an object with the Jobs and pods given."""
    return Snapshot(
        subject,
        plan(subject, settings, candidates or {}),
        jobs={job["metadata"]["name"]: job_view(job) for job in jobs or []},
        pods=views(pods or []),
        **({"tuning": Tuning()} | more),
    )


def look(subject: FineTuneJob | EvalRun, **children: Any) -> Observation:
    """Return what the operator makes of an object and its children."""
    return observe(snapshot(subject, **children), NOW)


def launched(observation: Observation) -> tuple[str, int, int] | None:
    """Return stage, run and retries of the Job that is to be made."""
    launch = observation.actions.launch
    return (launch.stage.value, launch.run, launch.retries) if launch else None


def conditions(observation: Observation) -> dict[str, tuple[str, str]]:
    """Return (status, reason) of every condition by type."""
    return {entry.type: (entry.status, entry.reason) for entry in observation.status.conditions}


def message(observation: Observation, type_: str) -> str:
    """Return the message of a condition."""
    return next(entry.message for entry in observation.status.conditions if entry.type == type_)


def stored(kind: str = "FineTuneJob", **more: Any) -> Manifest:
    """Return a stored status in which the object was accepted and its first Job was asked for."""
    accepted = {"type": "Accepted", "status": "True", "reason": "Accepted", "lastTransitionTime": ago(300)}
    return {"observedGeneration": 1, "runs": 1, "epoch": 1, "conditions": [accepted]} | more


def training(**more: Any) -> Manifest:
    """Return a stored status in which the data is ready and the train Job was asked for."""
    status = stored(**more)
    ready = {"type": "DataReady", "status": "True", "reason": "Prepared", "lastTransitionTime": ago(200)}
    return status | {"conditions": [*status["conditions"], ready]}
