"""`kubetune explain`: the answer for every state, from what can be read; what may not be read is said."""

import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kubetune_api import names
from kubetune_cli.__main__ import main
from kubetune_cli.evidence import Evidence
from kubetune_cli.explain import as_document
from kubetune_cli.explainview import view
from kubetune_cli.explanation import Explanation, explain
from kubetune_operator.observe.nodes import NodeView
from kubetune_operator.observe.occupancy import Holder, Occupancy
from unit.cli.conftest import BASE, ApiDouble

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
Object = dict[str, Any]


def run(*conditions: tuple[str, str, str, str], spec: Object | None = None, **status: Any) -> Object:
    entries = [
        {
            "type": kind,
            "status": value,
            "reason": reason,
            "message": message,
            "lastTransitionTime": "2026-11-24T11:00:00Z",
        }
        for kind, value, reason, message in conditions
    ]
    body = {"model": {"uri": "hf://a/b"}, "dataset": {"train": [{"uri": "pvc://d/x.jsonl"}]}}
    return {
        "apiVersion": "kubetune.io/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "bot", "namespace": "team", "uid": "u", "creationTimestamp": "2026-11-24T10:00:00Z"},
        "spec": body | (spec or {}),
        "status": {"phase": "Pending", "conditions": entries, **status} if conditions else {},
    }


def waiting(reason: str = "Unschedulable", message: str = "stored") -> Object:
    return run(("Accepted", "True", "Accepted", ""), ("Progressing", "False", reason, message))


def job(**spec: Any) -> Object:
    metadata = {"name": "bot-train", "uid": "j", "creationTimestamp": "2026-11-24T11:30:00Z"}
    return {"metadata": metadata, "spec": spec, "status": {}}


def starved() -> Object:
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    return {
        "metadata": {
            "name": "bot-train-0",
            "uid": "p",
            "creationTimestamp": "2026-11-24T11:15:00Z",
            "labels": {names.LABEL_STAGE: "train"},
        },
        "spec": {"containers": [{"name": "trainer", "resources": {"limits": {"nvidia.com/gpu": "2"}}}]},
        "status": {"phase": "Pending", "conditions": [said]},
    }


def event(reason: str, message: str, kind: str = "Job") -> Object:
    about = {"kind": kind, "name": "bot-train", "uid": "j"}
    at = "2026-11-24T11:50:00Z"
    return {"metadata": {}, "reason": reason, "message": message, "involvedObject": about, "lastTimestamp": at}


def page(evidence: Evidence, found: Explanation, width: int = 80) -> str:
    console = Console(file=StringIO(), width=width, color_system=None)
    console.print(view(evidence, found, NOW))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_busy_accelerators_with_the_time_until_the_first_are_free() -> None:
    ends = datetime(2026, 11, 24, 14, 5, tzinfo=UTC)
    holder = Holder("a", "team/x", "FineTuneJob", {"nvidia.com/gpu": 8}, ends)  # type: ignore[dict-item]
    node = NodeView("a", {}, {"nvidia.com/gpu": "8"})
    evidence = Evidence(waiting(), jobs=[job()], pods=[starved()], nodes=[node], occupancy=Occupancy([holder], True))
    found = explain(evidence, NOW)
    assert found.message.startswith("needs 2 x nvidia.com/gpu on one node; node a has them, all in use by team/x (8)")
    assert found.hints == ["the first of them should be free in about 2h05m, by its own estimate"]
    text = page(evidence, found)
    assert "waiting since 2026-11-24 11:15 UTC (45m00s)" in text
    assert "kubectl describe pod bot-train-0 -n team" in text
    document = as_document(evidence, found, NOW)
    assert (document["cause"], document["seconds"], document["hopeless"]) == ("Busy", 2700, False)


def test_a_quota_is_told_with_its_use() -> None:
    said = "pods is forbidden: exceeded quota: q, requested: cpu=4, used: cpu=6, limited: cpu=8"
    quota = {"metadata": {"name": "q"}, "status": {"hard": {"cpu": "8"}, "used": {"cpu": "6"}}}
    found = explain(Evidence(waiting(), jobs=[job()], events=[event("FailedCreate", said)], quotas=[quota]), NOW)
    assert found.reason == "QuotaExceeded"
    assert "quota q is used: cpu 6 of 8" in found.hints
    assert found.todo == ["kubectl describe quota -n team"]


def test_a_queue_is_told_in_the_words_of_kueue() -> None:
    said = {"type": "QuotaReserved", "status": "False", "message": "couldn't assign flavors: insufficient quota"}
    workload = {"metadata": {"name": "job-bot"}, "status": {"conditions": [said]}}
    stored = waiting("Queued", "waiting for a place in queue team-a")
    found = explain(Evidence(stored, jobs=[job(suspend=True)], workloads=[workload]), NOW)
    assert found.message == "waiting for a place in queue team-a"
    assert "couldn't assign flavors: insufficient quota" in found.hints[0]
    assert found.since == datetime(2026, 11, 24, 11, 30, tzinfo=UTC)


def test_a_missing_secret_says_that_waiting_does_not_help() -> None:
    pod = starved()
    state = {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "hf" not found'}}
    pod["status"] = {"phase": "Pending", "containerStatuses": [{"name": "trainer", "state": state}]}
    found = explain(Evidence(waiting(), jobs=[job()], pods=[pod]), NOW)
    assert found.hints == ["waiting does not help: something has to be changed"]
    assert found.todo[0] == "kubectl create secret generic hf -n team --from-literal=HF_TOKEN=..."


@pytest.mark.parametrize(("updated", "silent"), [("2026-11-24T11:59:30Z", False), ("2026-11-24T11:00:00Z", True)])
def test_a_run_at_work_tells_its_progress_and_whether_it_went_silent(updated: str, silent: bool) -> None:
    progress = {"step": 120, "totalSteps": 900, "percent": 13, "loss": "1.92", "lastCheckpointStep": 100}
    progress |= {"estimatedCompletionTime": "2026-11-24T14:05:00Z", "updatedAt": updated}
    moving = [("Progressing", "True", "Training", ""), ("Running", "True", "Training", "pod x runs on node a")]
    found = explain(Evidence(run(*moving, progress=progress)), NOW)
    assert found.message == (
        "step 120 of 900 (13 %); loss 1.92; 2h05m left (until about 14:05 UTC); last checkpoint at step 100"
    )
    assert any("stalled?" in hint for hint in found.hints) is silent
    assert found.todo == ["kubetune watch ftj/bot -n team"]


def test_runs_that_are_over() -> None:
    good = explain(Evidence(run(("Succeeded", "True", "Completed", "done"), verdict="better than prompting")), NOW)
    assert (good.state, good.hints) == ("Succeeded", ["better than prompting"])
    bad = explain(
        Evidence(run(("Failed", "True", "BadDataset", "row 3"), ("Succeeded", "False", "BadDataset", "row 3"))), NOW
    )
    assert (bad.state, bad.reason, bad.message) == ("Failed", "BadDataset", "row 3")


def test_a_run_that_nobody_looked_at_asks_for_the_operator() -> None:
    found = explain(Evidence(run()), NOW)
    assert (found.state, found.since) == ("Unseen", datetime(2026, 11, 24, 10, 0, tzinfo=UTC))
    assert "does KubeTune run in this cluster" in found.message


def test_a_suspended_run_shows_how_to_let_it_go_on() -> None:
    held = run(("Progressing", "False", "Suspended", "the accelerators are given back"), spec={"suspend": True})
    assert explain(Evidence(held), NOW).todo == [
        """kubectl patch ftj bot -n team --type merge -p '{"spec":{"suspend":false}}'"""
    ]


def test_the_page_fits_and_shows_no_credential() -> None:
    attempt = {"number": 1, "stage": "train", "exitCode": 70, "reason": "InternalError", "lastStep": 40, "node": "a"}
    attempt |= {"started": "2026-11-24T11:00:00Z", "ended": "2026-11-24T11:10:00Z", "message": "https://u:pw@h " * 30}
    evidence = Evidence(waiting(message="stored " * 60) | {}, events=[event("FailedMount", "Authorization: Bearer x")])
    evidence.run["status"]["attempts"] = [attempt]
    evidence.unread.append("nodes (missing right: list nodes)")
    text = page(evidence, explain(evidence, NOW))
    assert "InternalError  10m00s  at step 40; on a;" in text
    assert "u:pw" not in text
    assert "Bearer" not in text
    assert "nodes (missing right: list nodes)" in text
    plain = [line for line in text.splitlines() if "kubectl" not in line]
    assert max(map(len, plain)) <= 80


def test_missing_rights_are_told_and_not_fatal(
    api: ApiDouble, kubeconfig: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put(waiting() | {"metadata": waiting()["metadata"] | {"namespace": "default"}})
    api.forbidden = ("/jobs", "/events")
    assert main(["explain", "bot", "--kubeconfig", str(kubeconfig), "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["unread"] == ["jobs (missing right: list jobs)", "events (missing right: list events)"]
    assert document["message"] == "stored"
    assert any(path.startswith(f"{BASE}/finetunejobs/bot") for _, path, _ in api.requests)
