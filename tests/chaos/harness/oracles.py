"""What must hold whatever went wrong.

Sieve's oracles: the end state, and how often each child was made and deleted, equal those of a run without faults.
And what no reference is needed for: a finished run stays as it ended, nothing runs again that had succeeded, and no
two pods of a run hold its workspace at the same time.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from chaos.harness.history import JSON, History, Revision
from cluster.harness.under_test import ended
from kubetune_api import names

CHILDREN = ("Job", "ConfigMap", "PersistentVolumeClaim", "Service", "EvalRun")
_HASH = re.compile(r"-[0-9a-f]{8}(?=-|\b)")
_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_POD = re.compile(r"(<hash>(?:-\d+)?)-[a-z0-9]{5}\b")
_NODE = re.compile(r"\bhollow-[0-9a-f]{4}-\d+\b")
#: Differ from run to run by nature: versions, who wrote when, and what a clock measured.
_VOLATILE = {
    "resourceVersion", "managedFields", "generation", "volumeName", "podName", "pod", "node", "nodeName",
    "activeSeconds", "acceleratorSeconds", "remaining", "remainingSeconds", "progress", "lastProbeTime", "seconds",
    "spec.volumeName", "annotations",
}  # fmt: skip


def normal(value: Any, own: str = "") -> Any:
    """Return a document without what differs between two equal runs: UIDs, hashes of them, times, measured amounts."""
    if isinstance(value, dict):
        return {
            key: normal(entry, own)
            for key, entry in sorted(value.items())
            if key not in _VOLATILE and not key.lower().endswith(("time", "timestamp", "at"))
        }
    if isinstance(value, list):
        return [normal(entry, own) for entry in value]
    if isinstance(value, str):
        text = _NODE.sub("<node>", _TIME.sub("<time>", _UID.sub("<uid>", value)))
        return _POD.sub(r"\1-<pod>", _HASH.sub("-<hash>", text))
    return value


def end_state(history: History, namespace: str) -> dict[str, Any]:
    """Return what is left of a namespace, normalised: our objects whole, their children by name, labels and spec."""
    state: dict[str, Any] = {}
    for life in history.lives("FineTuneJob", *CHILDREN).values():
        last = life[-1]
        meta = last.obj["metadata"]
        if last.type == "DELETED" or meta.get("namespace") != namespace or not _ours(last):
            continue
        parts = ("spec", "status") if last.kind in ("FineTuneJob", "EvalRun") else ()
        shown = {part: last.obj[part] for part in parts if part in last.obj}
        if last.kind == "Job":
            conditions = last.obj.get("status", {}).get("conditions", [])
            shown = {"conditions": sorted(entry["type"] for entry in conditions if entry["status"] == "True")}
        state[f"{last.kind}/{normal(last.name)}"] = normal(shown)
    return state


def counts(history: History, namespace: str) -> dict[str, int]:
    """Return how often children of each kind and normalised name were created and deleted."""
    found: Counter[str] = Counter()
    for word, revisions in (("created", history.created(*CHILDREN)), ("deleted", history.deleted(*CHILDREN))):
        for revision in revisions:
            if revision.obj["metadata"].get("namespace") == namespace and _ours(revision):
                found[f"{word} {revision.kind}/{normal(revision.name)}"] += 1
    return dict(found)


def _ours(revision: Revision) -> bool:
    if revision.kind == "FineTuneJob":
        return True
    labels = revision.obj["metadata"].get("labels", {})
    return bool(labels.get(names.LABEL_MANAGED_BY) == names.MANAGED_BY) or revision.kind == "EvalRun"


def differences(reference: Any, found: Any, path: str = "") -> list[str]:
    """Return where two normalised documents differ."""
    if isinstance(reference, dict) and isinstance(found, dict):
        keys = sorted(reference.keys() | found.keys())
        return [
            line
            for key in keys
            for line in differences(reference.get(key), found.get(key), f"{path}.{key}".lstrip("."))
        ]
    if isinstance(reference, list) and isinstance(found, list) and len(reference) == len(found):
        pairs = enumerate(zip(reference, found, strict=True))
        return [line for index, (a, b) in pairs for line in differences(a, b, f"{path}[{index}]")]
    if reference == found:
        return []
    return [f"{path}: {json.dumps(reference)[:300]} without faults, {json.dumps(found)[:300]} here"]


def broken(history: History) -> list[str]:
    """Return what breaks the rules that hold for every run, whatever went wrong."""
    return [
        *duplicate_jobs(history),
        *rewritten_ends(history),
        *repeated_successes(history),
        *shared_workspaces(history),
    ]


def duplicate_jobs(history: History) -> list[str]:
    """A Job of one name and owner is made once: its name says the stage and the run."""
    made = Counter((job.obj["metadata"].get("namespace"), job.name) for job in history.created("Job"))
    return [f"Job {space}/{name} was made {count} times" for (space, name), count in made.items() if count > 1]


def rewritten_ends(history: History) -> list[str]:
    """The status of a finished run never changes again, but for the generation that was looked at."""
    found = []
    for life in history.lives("FineTuneJob", "EvalRun").values():
        final: JSON | None = None
        for revision in life:
            status = _told(revision.obj)
            if final is not None and status != final:
                where = "; ".join(differences(final, status))
                found.append(f"{revision.kind} {revision.name}: changed after its end: {where}")
                break
            if ended(revision.obj):
                final = status
    return found


def _told(obj: JSON) -> JSON:
    status = {key: value for key, value in (obj.get("status") or {}).items() if key != "observedGeneration"}
    entries = [{**entry, "observedGeneration": 0} for entry in status.get("conditions", [])]
    return {**status, "conditions": entries}


def repeated_successes(history: History) -> list[str]:
    """No pod is made for a stage whose pod of the same number has succeeded."""
    succeeded: dict[tuple[str, str, str], str] = {}
    made: set[str] = set()
    found = []
    for revision in history.of("Pod"):
        labels = revision.obj["metadata"].get("labels", {})
        place = tuple(labels.get(label, "0") for label in _PLACE)
        if not labels.get(names.LABEL_OWNER_UID):
            continue
        stage = (place[0], place[1], place[2])
        if revision.uid not in made and revision.type != "DELETED":
            made.add(revision.uid)
            if stage in succeeded:
                found.append(f"pod {revision.name} was made after {succeeded[stage]} had succeeded")
        if revision.obj.get("status", {}).get("phase") == "Succeeded":
            succeeded.setdefault(stage, revision.name)
    return found


_PLACE = (names.LABEL_OWNER_UID, names.LABEL_STAGE, "batch.kubernetes.io/job-completion-index")


def shared_workspaces(history: History) -> list[str]:
    """Two pods of the same stage and index never run at the same time."""
    running: dict[tuple[str, ...], dict[str, str]] = {}
    found: list[str] = []
    for revision in history.of("Pod"):
        labels = revision.obj["metadata"].get("labels", {})
        if not labels.get(names.LABEL_OWNER_UID):
            continue
        here = running.setdefault(tuple(labels.get(label, "0") for label in _PLACE), {})
        if revision.type != "DELETED" and revision.obj.get("status", {}).get("phase") == "Running":
            here[revision.uid] = revision.name
            if len(here) > 1:
                found.append(f"pods {', '.join(sorted(here.values()))} ran at the same time")
        else:
            here.pop(revision.uid, None)
    return found
