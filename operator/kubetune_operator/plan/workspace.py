"""`spec.workspace`: the volume that the stages share."""

from collections.abc import Iterator

from kubetune_api.fields import quantity_value
from kubetune_api.names import workspace_name
from kubetune_api.resources import Workspace

from ..settings import Settings
from .plan import Owner, Refusal, WorkspacePlan, bad


def refuse(workspace: Workspace) -> Iterator[Refusal]:
    """Refuse a volume without room."""
    if quantity_value(workspace.size) < 2**20:
        yield bad("spec.workspace.size", f"{workspace.size} holds no model; give for example 50Gi")


def refuse_nodes(workspace: Workspace, nodes: int, settings: Settings) -> Iterator[Refusal]:
    """Refuse several nodes around a volume that one node at a time can mount; a claim of the user is his to know."""
    if nodes > 1 and workspace.claim_name is None and settings.access_mode != "ReadWriteMany":
        problem = (
            f"{nodes} nodes share one workspace, and here workspaces are {settings.access_mode}; name a claim that is "
            "ReadWriteMany in workspace.claimName, or ask for the setting access_mode: ReadWriteMany"
        )
        yield bad("spec.resources.nodes", problem)


def plan(workspace: Workspace, owner: Owner, settings: Settings) -> WorkspacePlan:
    """Return the claim to make, or the one that the user brought."""
    return WorkspacePlan(
        claim_name=workspace.claim_name or workspace_name(owner.name, owner.uid),
        size=str(workspace.size),
        storage_class_name=workspace.storage_class_name or settings.storage_class_name,
        access_mode=settings.access_mode,
        owned=workspace.claim_name is None,
    )


def size_bytes(workspace: Workspace) -> int:
    """Return what the volume holds; 0 when the claim is the user's, whose size is not in the spec."""
    return 0 if workspace.claim_name else int(quantity_value(workspace.size))
