"""Volumes of a pod and where they are mounted: workspace, run file, the user's claims, and scratch space."""

from collections.abc import Sequence

from kubetune_api.run import CLAIMS_PATH, WORKSPACE_PATH

from ..plan.plan import PodPlan, VolumePlan, WorkspacePlan
from .metadata import Manifest
from .run_file import RUN_FILE_FOLDER

_SCRATCH_PATH = "/tmp"
_SHARED_MEMORY_PATH = "/dev/shm"
_WORKSPACE, _RUN_FILE, _SCRATCH, _SHARED_MEMORY = "workspace", "run-file", "scratch", "shared-memory"
_EXTRA = "extra"


def volumes(workspace: WorkspacePlan, pod: PodPlan, run_file: Manifest) -> list[Manifest]:
    """Return the volumes, `run_file` the source of its one; a claim that is the workspace as well is there once."""
    return [
        {"name": _WORKSPACE, "persistentVolumeClaim": {"claimName": workspace.claim_name}},
        {"name": _RUN_FILE, **run_file},
        {"name": _SCRATCH, "emptyDir": {}},
        # Processes of one pod exchange tensors here; a container runtime gives 64 MiB when it is not asked.
        {"name": _SHARED_MEMORY, "emptyDir": {"medium": "Memory"}},
        *(
            {"name": _name(workspace, pod.claims, claim), "persistentVolumeClaim": {"claimName": claim}}
            for claim in pod.claims
            if claim != workspace.claim_name
        ),
        *({"name": f"{_EXTRA}-{index}", **_source(volume)} for index, volume in enumerate(pod.volumes)),
    ]


def mounts(workspace: WorkspacePlan, pod: PodPlan) -> list[Manifest]:
    """Return where each volume is seen; of what belongs to the user only the workspace can be written."""
    return [
        {"name": _WORKSPACE, "mountPath": WORKSPACE_PATH},
        {"name": _RUN_FILE, "mountPath": RUN_FILE_FOLDER, "readOnly": True},
        {"name": _SCRATCH, "mountPath": _SCRATCH_PATH},
        {"name": _SHARED_MEMORY, "mountPath": _SHARED_MEMORY_PATH},
        *(
            {"name": _name(workspace, pod.claims, claim), "mountPath": f"{CLAIMS_PATH}/{claim}", "readOnly": True}
            for claim in pod.claims
        ),
        *(
            {"name": f"{_EXTRA}-{index}", "mountPath": volume.mount_path, "readOnly": True}
            for index, volume in enumerate(pod.volumes)
        ),
    ]


def _source(volume: VolumePlan) -> Manifest:
    if volume.claim_name is not None:
        return {"persistentVolumeClaim": {"claimName": volume.claim_name}}
    return {"configMap": {"name": volume.config_map_name}}


def _name(workspace: WorkspacePlan, claims: Sequence[str], claim: str) -> str:
    """Return the name of a claim's volume: a number, for names of claims are longer than those of volumes may be."""
    return _WORKSPACE if claim == workspace.claim_name else f"claim-{list(claims).index(claim)}"
