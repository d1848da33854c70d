"""The run file on its way into the pod: an annotation of the Job's pod template, mounted by the downward API.

So it needs no object of its own, cannot be missing when the pod starts, and can be read as long as the Job is there.
All annotations of an object together hold 256 KiB; a run file that takes more than half of it becomes a ConfigMap.
"""

import json

from kubetune_api import names
from kubetune_api.run import RUN_FILE_PATH, RunFile

from ..plan.plan import Owner, StagePlan
from .metadata import Manifest, metadata, stage_labels

RUN_FILE_FOLDER, _, RUN_FILE = RUN_FILE_PATH.rpartition("/")
MOST_BYTES = 128 * 1024


def is_annotation(run_file: RunFile) -> bool:
    """Decide how a run file travels: as an annotation, or as a ConfigMap when it is too large for one."""
    return len(_text(run_file).encode()) <= MOST_BYTES


def run_file_annotations(stage_plan: StagePlan) -> dict[str, str]:
    """Return the annotations of the pod that carry the run file."""
    run_file = stage_plan.run_file
    return {names.ANNOTATION_RUN_FILE: _text(run_file)} if is_annotation(run_file) else {}


def run_file_maps(owner: Owner, stage_plan: StagePlan, run: int, name: str) -> list[Manifest]:
    """Return the ConfigMap of one run of a stage, where it needs one; it is immutable, as the run file is."""
    if is_annotation(stage_plan.run_file):
        return []
    config_map: Manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(owner, name, stage_labels(owner, stage_plan.stage, run)),
        "immutable": True,
        "data": {RUN_FILE: _text(stage_plan.run_file) + "\n"},
    }
    return [config_map]


def run_file_source(run_file: RunFile, name: str) -> Manifest:
    """Return the source of the volume in which the pod finds its run file; `name` is that of the ConfigMap."""
    if not is_annotation(run_file):
        return {"configMap": {"name": name}}
    field = {"fieldPath": f"metadata.annotations['{names.ANNOTATION_RUN_FILE}']"}
    return {"downwardAPI": {"items": [{"path": RUN_FILE, "fieldRef": field}]}}


def _text(run_file: RunFile) -> str:
    """Return it in one line: `kubectl describe` then shows no more than its beginning."""
    return json.dumps(run_file.dump(), ensure_ascii=False)
