"""The run file as a ConfigMap: immutable, so that what a run was told can be read as long as the run is there."""

import json

from kubetune_api.run import RUN_FILE_PATH

from ..plan.plan import Owner, StagePlan
from .metadata import Manifest, metadata, stage_labels

RUN_FILE_FOLDER, _, RUN_FILE = RUN_FILE_PATH.rpartition("/")


def run_file_map(owner: Owner, stage_plan: StagePlan, run: int, name: str) -> Manifest:
    """Return the ConfigMap of one run of a stage."""
    text = json.dumps(stage_plan.run_file.dump(), indent=2, ensure_ascii=False)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(owner, name, stage_labels(owner, stage_plan.stage, run)),
        "immutable": True,
        "data": {RUN_FILE: text + "\n"},
    }
