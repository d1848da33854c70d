"""The pod that a Job makes: its template with labels, owner, finalizer and, for an Indexed Job, its index."""

import copy
import secrets
from typing import Any

from .view import FAILURES, FINALIZER, IGNORED, INDEX, JobFacts

JSON = dict[str, Any]

INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
_LONGEST_PREFIX = 58
"""What is left of 63 characters when five are drawn."""
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


def pod_of(facts: JobFacts, index: int | None = None, failures: int = 0, ignored: int = 0) -> JSON:
    """Return a new pod.

    Args:
        facts: The Job.
        index: Completion index, for an Indexed Job.
        failures: Failures of this index so far; written only where they are counted for each index.
        ignored: Failures of this index that a policy ignored.
    """
    job = facts.job
    template = copy.deepcopy(facts.spec["template"])
    meta, name = template.get("metadata") or {}, job["metadata"]["name"]
    labels, annotations = dict(meta.get("labels") or {}), dict(meta.get("annotations") or {})
    spec = template["spec"]
    prefix = f"{name}-"
    if index is not None:
        prefix = f"{name[: _LONGEST_PREFIX - len(f'-{index}-')]}-{index}-"
        labels[INDEX] = annotations[INDEX] = str(index)
        spec["hostname"] = f"{name}-{index}"
        for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
            _tell_index(container)
        if facts.per_index:
            annotations[FAILURES] = str(failures)
            if ignored:
                annotations[IGNORED] = str(ignored)
    finalizers = [*(meta.get("finalizers") or ())]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": prefix[:_LONGEST_PREFIX] + "".join(secrets.choice(_LETTERS) for _ in range(5)),
            "generateName": prefix,
            "namespace": job["metadata"]["namespace"],
            "labels": labels,
            "annotations": annotations,
            "finalizers": finalizers if FINALIZER in finalizers else [*finalizers, FINALIZER],
            "ownerReferences": [owner_of(job)],
        },
        "spec": spec,
    }


def owner_of(job: JSON) -> JSON:
    """Return the reference of a pod to its Job."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": job["metadata"]["name"],
        "uid": job["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _tell_index(container: JSON) -> None:
    env = container.setdefault("env", [])
    if any(entry["name"] == INDEX_VARIABLE for entry in env):
        return
    field = {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}
    env.append({"name": INDEX_VARIABLE, "valueFrom": {"fieldRef": field}})
