"""The audit log of the API server -> who wrote what when, and how long one thing came after another."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from .plane import BENCH, JOB_CONTROLLER, OPERATOR


@dataclass(frozen=True)
class Call:
    """A write that the API server answered."""

    user: str
    verb: str
    what: str
    """Resource, with the subresource: `finetunejobs/status`."""
    name: str
    code: int
    received: float
    answered: float
    body: dict[str, Any]


def calls(log: Path, offset: int = 0) -> list[Call]:
    """Return the writes that are told from an offset of the log on."""
    with log.open("rb") as file:
        file.seek(offset)
        lines = file.read().splitlines()
    return [call for line in lines if line.endswith(b"}") and (call := _call(json.loads(line))) is not None]


def _call(event: dict[str, Any]) -> Call | None:
    if event["stage"] not in ("ResponseComplete", "Panic"):
        return None
    target, body = event.get("objectRef") or {}, event.get("requestObject") or {}
    what = target.get("resource", event["requestURI"])
    if target.get("subresource"):
        what += "/" + target["subresource"]
    return Call(
        event["user"]["username"],
        event["verb"],
        what,
        target.get("name") or body.get("metadata", {}).get("name", ""),
        event.get("responseStatus", {}).get("code", 0),
        _seconds(event["requestReceivedTimestamp"]),
        _seconds(event["stageTimestamp"]),
        body,
    )


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _owners(body: dict[str, Any], kind: str) -> Iterator[str]:
    for reference in body.get("metadata", {}).get("ownerReferences") or []:
        if reference["kind"] == kind:
            yield reference["name"]


def object_to_job(log: list[Call]) -> list[float]:
    """Return, for each FineTuneJob, the seconds from the answer to its create to that of its first Job."""
    made = {call.name: call.answered for call in log if _is(call, BENCH, "create", "finetunejobs")}
    first: dict[str, float] = {}
    for call in log:
        if _is(call, OPERATOR, "create", "jobs"):
            for name in _owners(call.body, "FineTuneJob"):
                first[name] = min(call.answered, first.get(name, call.answered))
    return [first[name] - moment for name, moment in made.items() if name in first]


def job_to_pod(log: list[Call]) -> list[float]:
    """Return the same for Job and first pod, by the kube-controller-manager."""
    made = {call.name: call.answered for call in log if _is(call, OPERATOR, "create", "jobs")}
    first: dict[str, float] = {}
    for call in log:
        if _is(call, JOB_CONTROLLER, "create", "pods"):
            for name in _owners(call.body, "Job"):
                first[name] = min(call.answered, first.get(name, call.answered))
    return [first[name] - moment for name, moment in made.items() if name in first]


def running_to_status(log: list[Call], owners: dict[str, str]) -> list[float]:
    """Return the seconds from a pod said to run to the status that says so; `owners` names each pod's FineTuneJob."""
    ran: dict[str, float] = {}
    for call in log:
        if _is(call, BENCH, "patch", "pods/status") and call.name in owners:
            ran.setdefault(owners[call.name], call.answered)
    told: dict[str, float] = {}
    for call in log:
        if _is(call, OPERATOR, "patch", "finetunejobs/status") and _says_running(call.body):
            told.setdefault(call.name, call.answered)
    return [told[name] - moment for name, moment in ran.items() if name in told]


def _says_running(body: dict[str, Any]) -> bool:
    conditions = (body.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Running" and each["status"] == "True" for each in conditions)


def _is(call: Call, user: str, verb: str, what: str) -> bool:
    return call.user == user and call.verb == verb and call.what == what and call.code < 300


def operator_writes(log: list[Call]) -> Counter[str]:
    """Return how often the operator wrote what; those that keep its Lease are left out."""
    return Counter(
        f"{call.verb} {call.what}" for call in log if call.user == OPERATOR and not call.what.startswith("leases")
    )
