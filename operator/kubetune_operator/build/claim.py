"""The workspace: one claim for all stages and runs of an object."""

from ..plan.plan import Owner, WorkspacePlan
from .metadata import Manifest, metadata, owner_labels


def workspace_claim(owner: Owner, workspace: WorkspacePlan) -> Manifest:
    """Return the claim that is made for a run; the cluster's default storage class serves it when none is named."""
    storage_class = {"storageClassName": workspace.storage_class_name} if workspace.storage_class_name else {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(owner, workspace.claim_name, owner_labels(owner)),
        "spec": {
            "accessModes": [workspace.access_mode],
            **storage_class,
            "resources": {"requests": {"storage": workspace.size}},
        },
    }
