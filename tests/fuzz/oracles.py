"""What must hold for every spec that the API server takes; each oracle raises `AssertionError` with the spec's seed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from kubetune_api import API_VERSION, names
from kubetune_api.crdgen import KINDS, object_schema
from kubetune_cli.manifests import parse_path
from kubetune_cli.structural import Schema, defaulted, mistakes
from kubetune_operator.observe import Snapshot, job_view, observe
from kubetune_operator.observe.pods import pod_view
from kubetune_operator.observe.timestamps import format_time
from kubetune_operator.plan import Plan, Refusal, parse, plan
from kubetune_operator.render import render
from kubetune_operator.settings import Settings

from .generate import Generator, Path, at, changed, leaves

JSON = dict[str, Any]
SCHEMAS: dict[str, Schema] = {kind.__name__: object_schema(kind) for kind in KINDS}
SETTINGS = Settings(allow_file_uris=True)
NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
UID = "5b0c6c26-8a0b-4f0e-9d66-0f5d3c1f2a10"
_STATUS_BYTES = 16 * 1024
#: Fields that may change without any trace, and why.
SILENT: dict[str, str] = {}


@dataclass(frozen=True)
class Case:
    """A generated object."""

    seed: int
    manifest: JSON

    @property
    def kind(self) -> str:
        """The kind of the object."""
        return str(self.manifest["kind"])

    def __str__(self) -> str:
        spec = json.dumps(self.manifest["spec"], ensure_ascii=False)
        return f"seed {self.seed}, {self.manifest['kind']}: {spec}"


def generated(seed: int, namespace: str = "fuzz") -> Case:
    """Return the object of a seed: every third is an EvalRun, every second has few of its optional fields."""
    kind = "EvalRun" if seed % 3 == 0 else "FineTuneJob"
    draw = Generator(seed, fullness=0.06 if seed % 2 else 0.35)
    for _ in range(50):
        spec = draw.value(SCHEMAS[kind]["properties"]["spec"])
        manifest = {
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {"name": f"generated-{seed}", "namespace": namespace},
            "spec": spec,
        }
        if not mistakes(manifest, SCHEMAS[kind]):
            return Case(seed, manifest)
    raise AssertionError(f"seed {seed}: nothing that the schema allows in 50 attempts")


def mended(case: Case) -> Case | None:
    """Return the case with the fields that it is refused for left out, or drawn again; None when that takes too long.

    This is what a user does: reads the reason, changes the field that it names, and tries again.
    """
    draw, spec, schema = Generator(case.seed + 10_000_000, fullness=0.02), case.manifest["spec"], SCHEMAS[case.kind]
    for attempt in range(60):
        now = Case(case.seed, {**case.manifest, "spec": spec})
        outcome = render(stored(now), SETTINGS)
        if not isinstance(outcome, Refusal):
            return now
        for part in outcome.parts or (outcome,):
            path = parse_path(part.field)[1:]
            kept = max(1, len(path) - attempt // 8)  # what does not help at a field is tried around it
            spec = _without(spec, path[:kept], schema["properties"]["spec"], draw)
        if mistakes({**case.manifest, "spec": spec}, schema):
            spec = draw.value(schema["properties"]["spec"])
    return None


def _without(value: Any, path: Path, schema: Schema, draw: Generator) -> Any:
    """Return a value without what is at a place; what must be there is drawn again."""
    if isinstance(value, dict) and path and "properties" in schema:
        name, child = path[0], schema["properties"].get(path[0], {})
        if name not in value:
            return value
        if len(path) == 1 and name not in schema.get("required", []):
            return {key: item for key, item in value.items() if key != name}
        return {**value, name: _without(value[name], path[1:], child, draw)}
    if isinstance(value, list) and path and isinstance(path[0], int):
        index = path[0]
        return [
            _without(each, path[1:], schema["items"], draw) if place == index else each
            for place, each in enumerate(value)
        ]
    return draw.value(schema) if schema else value


def stored(case: Case) -> JSON:
    """Return the object as an API server would store it."""
    full: JSON = defaulted(case.manifest, SCHEMAS[case.manifest["kind"]])
    meta = {**full["metadata"], "uid": UID, "generation": 1, "resourceVersion": "7"}
    return {**full, "metadata": meta}


def children_or_reason(case: Case, manifest: JSON) -> list[JSON] | Refusal:
    """Return what becomes of an object: children of sound form, or a refusal that helps."""
    outcome = render(manifest, SETTINGS)
    if isinstance(outcome, Refusal):
        for part in outcome.parts or (outcome,):
            assert part.reason, f"a refusal without a reason: {part} for {case}"
            assert part.message, f"a refusal without a word: {case}"
            assert part.field.startswith(("spec", "metadata")), f"a refusal names no field: {part} for {case}"
            assert part.field in part.message, f"the message does not say where: {part} for {case}"
    else:
        kinds = [child["kind"] for child in outcome]
        assert "Job" in kinds, f"no Job among {kinds}: {case}"
        assert all(len(child["metadata"]["name"]) <= 253 for child in outcome), case
    return outcome


def lives(case: Case, manifest: JSON) -> None:
    """Look at an object through the states of its Jobs and pods: a status that the schema takes, each time."""
    status: JSON | None = None
    for number, snapshot_of in enumerate(_moments(manifest)):
        subject = parse(manifest | ({"status": status} if status else {}))
        assert not isinstance(subject, Refusal), f"{subject.message}: {case}"
        seen = observe(snapshot_of(subject), NOW + timedelta(minutes=number))
        status = seen.status.dump()
        wrong = mistakes(status, SCHEMAS[manifest["kind"]]["properties"]["status"])
        assert not wrong, f"the status breaks its schema: {wrong[0]} for {case}"
        assert len(json.dumps(status)) <= _STATUS_BYTES, f"a status of {len(json.dumps(status))} bytes: {case}"


def _moments(manifest: JSON) -> Iterator[Any]:
    def fresh(subject: Any, **children: Any) -> Snapshot:
        return Snapshot(subject, plan(subject, SETTINGS, {}), **children)

    first = "prepare" if manifest["kind"] == "FineTuneJob" else "evaluate"
    name = names.stage_name(manifest["metadata"]["name"], UID, first, 1)
    yield fresh
    for phase, state in (
        ("Pending", {}),
        ("Running", {"running": {"startedAt": format_time(NOW)}}),
        ("Failed", {"terminated": {"exitCode": 70, "message": "x" * 4000, "reason": "Error", **_TIMES}}),
    ):
        job = {"metadata": {"name": name, "uid": "job"}, "spec": {"backoffLimit": 3}, "status": {}}
        labels = {names.LABEL_STAGE: first, names.LABEL_RUN: "1"}
        pod = {
            "metadata": {"name": f"{name}-0-x", "uid": "pod", "labels": labels, "creationTimestamp": format_time(NOW)},
            "spec": {"nodeName": "node-1"},
            "status": {"phase": phase, "containerStatuses": [{"name": "trainer", "state": state}] if state else []},
        }
        yield lambda subject, job=job, pod=pod: fresh(subject, jobs={name: job_view(job)}, pods=[pod_view(pod)])


_TIMES = {"startedAt": format_time(NOW), "finishedAt": format_time(NOW + timedelta(seconds=90))}


def mutation_shows(case: Case, manifest: JSON, times: int = 3) -> Iterator[str]:
    """Change one field of a spec that is rendered, and yield each one that left no trace anywhere."""
    schema = SCHEMAS[manifest["kind"]]["properties"]["spec"]
    draw = Generator(case.seed * 1000 + 7)
    places = list(leaves(manifest["spec"], schema))
    for _ in range(times):
        path, below = draw.choice(places)
        new = draw.other(at(manifest["spec"], path), below)
        spec = changed(manifest["spec"], path, new)
        other = defaulted({**manifest, "spec": spec}, SCHEMAS[manifest["kind"]])
        if new == at(manifest["spec"], path) or mistakes(other, SCHEMAS[manifest["kind"]]):
            continue
        if not (_silent(path) or _differs(manifest, other)):
            yield f"spec.{_text(path)}: {at(manifest['spec'], path)!r} -> {new!r} changes nothing for {case}"


def _differs(before: JSON, after: JSON) -> bool:
    old, new = render(before, SETTINGS), render(after, SETTINGS)
    return old != new or _acts(before) != _acts(after) or _acts(_resumed(before)) != _acts(_resumed(after))


def _resumed(manifest: JSON) -> JSON:
    return {**manifest, "spec": {**manifest["spec"], "suspend": False}}


def _acts(manifest: JSON) -> list[Any]:
    """Return what the operator itself does about an object that runs, fails, and ended long ago."""
    now = NOW + timedelta(days=3)
    entry = {"type": "Succeeded", "status": "True", "reason": "Completed", "message": ""}
    over = {"conditions": [entry | {"lastTransitionTime": format_time(now)}], "completionTime": format_time(now)}
    found: list[Any] = []
    for status in (None, over):
        for snapshot_of in _moments(manifest):
            subject = parse(manifest | ({"status": status} if status else {}))
            if isinstance(subject, Refusal):
                return [subject]
            found.append(observe(snapshot_of(subject), now))
    return found


def _silent(path: Path) -> bool:
    return _text(path) in SILENT


def _text(path: Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def decided(manifest: JSON) -> Plan | Refusal:
    """Return the plan of an object."""
    subject = parse(manifest)
    return subject if isinstance(subject, Refusal) else plan(subject, SETTINGS, {})
