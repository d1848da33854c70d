"""Actions -> the cluster: create what is absent, never adopt what is another's, and say what could not be made."""

from collections.abc import Callable, Sequence

from kubetune_api import names

from .. import build
from ..errors import AlreadyExists, ApiError, Forbidden, NotFound
from ..observe import ApplyFailure, Snapshot
from ..observe.situation import Actions
from ..plan import Refusal
from ..plan.owner import owner_of
from ..settings import Settings
from .client import Client, Document
from .store import owned

Made = Callable[[Document], object]
"""Told of each object that was made, as the API server answered."""


async def apply(
    client: Client, snapshot: Snapshot, actions: Actions, settings: Settings, made: Made = lambda child: None
) -> list[ApplyFailure]:
    """Carry the actions out, in an order in which a crash leaves nothing that the next pass cannot mend.

    Raises:
        OperatorError: the API server is unreachable, or said no in a way that trying again may mend.
    """
    try:
        failure = await _apply(client, snapshot, actions, settings, made)
    except Forbidden as error:
        failure = ApplyFailure("Forbidden", f"{error.message}. Check the operator's Role")
    return [failure] if failure else []


async def _apply(
    client: Client, snapshot: Snapshot, actions: Actions, settings: Settings, made: Made
) -> ApplyFailure | None:
    owner, plan = owner_of(snapshot.subject), snapshot.plan
    if actions.delete_subject:
        await client.delete(owner.kind, owner.namespace, owner.name, owner.uid)
        return None
    for name in actions.stop_jobs:
        await client.delete("Job", owner.namespace, name, snapshot.jobs[name].uid)
    if isinstance(plan, Refusal):
        return None
    if actions.launch is not None:
        children = build.stage_children(plan, actions.launch, settings)
        if actions.launch.epoch > 1:
            children = [child for child in children if not await _is_kept(client, child, owner.uid)]
        return await _create_all(client, children, owner.uid, made)
    if actions.create_evaluation and plan.evaluation is not None:
        return await _create_all(client, [build.eval_run(plan, plan.evaluation)], owner.uid, lambda child: None)
    if actions.suspend_evaluation is not None:
        name = names.evaluation_name(owner.name, owner.uid)
        await client.merge("EvalRun", owner.namespace, name, {"spec": {"suspend": actions.suspend_evaluation}})
    return None


async def _is_kept(client: Client, child: Document, uid: str) -> bool:
    """Return whether a child is the workspace that an earlier run made: reading it is cheaper than a refused write."""
    if child["kind"] != "PersistentVolumeClaim":
        return False
    try:
        found = await client.get(child["kind"], child["metadata"]["namespace"], child["metadata"]["name"])
    except NotFound:
        return False
    return owned(found, uid)


async def _create_all(client: Client, children: Sequence[Document], uid: str, made: Made) -> ApplyFailure | None:
    for child in children:
        if failure := await _create(client, child, uid, made):
            return failure
    return None


async def _create(client: Client, child: Document, uid: str, made: Made) -> ApplyFailure | None:
    try:
        made(await client.create(child))
    except AlreadyExists:
        return await _foreign(client, child, uid)
    except Forbidden as error:
        return ApplyFailure(*_forbidden(child, error.message))
    except ApiError as error:
        if error.code not in (400, 404, 422):
            raise
        message = f"the API server does not take {child['kind']} {child['metadata']['name']}: {error.message}"
        return ApplyFailure("NamespaceTerminating" if error.code == 404 else "Rejected", message)
    return None


async def _foreign(client: Client, child: Document, uid: str) -> ApplyFailure | None:
    """Tell our own child, made before, from one of the same name that is another's."""
    kind, metadata = child["kind"], child["metadata"]
    try:
        found = await client.get(kind, metadata["namespace"], metadata["name"])
    except NotFound:
        return ApplyFailure("Deleting", f"{kind} {metadata['name']} is just being deleted")
    if owned(found, uid):
        return None
    whose = f"{kind} {metadata['name']} exists and belongs to another"
    message = f"{whose}; it is left as it is. Delete or rename it: `kubectl delete {kind.lower()} {metadata['name']}`"
    return ApplyFailure("NameConflict", message)


def _forbidden(child: Document, message: str) -> tuple[str, str]:
    what = f"{child['kind']} {child['metadata']['name']}"
    if "exceeded quota" in message:
        return "QuotaExceeded", f"{what}: {message}. Free quota of the namespace, or ask for less"
    if "is being terminated" in message:
        return "NamespaceTerminating", f"{what}: {message}"
    return "Forbidden", f"{what}: {message}. Check the operator's Role"
