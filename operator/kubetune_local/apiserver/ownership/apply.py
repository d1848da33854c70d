"""Server-side apply: conflicts, merge, and removal of fields that their manager no longer applies.

The subset: one served version at a time (no conversion of paths between versions); a forced apply takes the conflicting
fields from their owners; defaults belong to nobody.
"""

from typing import Any

from kubetune_local.apiserver.cluster import Request
from kubetune_local.apiserver.errors import StatusError, quote
from kubetune_local.apiserver.ownership.last_applied import follow_last_applied, last_applied_paths
from kubetune_local.apiserver.ownership.merging import merge_applied, take_out
from kubetune_local.apiserver.ownership.owners import Owner, owned_part, read_owners, values, write_owners
from kubetune_local.apiserver.ownership.paths import Path, shown
from kubetune_local.apiserver.schema.node import Node

Obj = dict[str, Any]


def apply(node: Node, request: Request, live: Obj | None, applied: Obj, now: str) -> Obj:
    """Return the object that an applied configuration makes of the live one; StatusError 409 on conflicts."""
    own = owned_part(request)
    wanted = values(node, applied, own, inner=False)
    owners = read_owners(live) if live is not None else []
    mine = next((owner for owner in owners if owner.same(request, "Apply")), None)
    others = [owner for owner in owners if owner is not mine]
    present = values(node, live, own) if live is not None else {}
    differing = {path for path, value in wanted.items() if path in present and present[path] != value}
    allowed = last_applied_paths(node, request, live, own)
    conflicts = [(owner, path) for owner in others for path in sorted(owner.paths & differing - allowed)]
    if conflicts and not request.flag("force"):
        raise _conflict(conflicts)
    for owner in others:
        owner.paths -= differing
    merged: Obj = merge_applied(node, live, applied) if live is not None else applied
    given_up = (mine.paths if mine is not None else set()) - wanted.keys()
    needed = set(wanted).union(*(owner.paths for owner in others))
    above = {path[:depth] for path in needed for depth in range(1, len(path) + 1)}
    merged = take_out(node, merged, given_up, above.__contains__)
    merged["metadata"] = dict(merged["metadata"])
    follow_last_applied(request, merged, applied)
    unchanged = mine is not None and mine.paths == set(wanted) and not differing
    time = mine.time if mine is not None and unchanged else now
    applier = Owner(request.manager, "Apply", request.resource.api_version, request.subresource, time, set(wanted))
    kept = [owner if owner is not mine else applier for owner in owners]
    write_owners(merged, kept if mine is not None else [*kept, applier])
    return merged


def _conflict(conflicts: list[tuple[Owner, Path]]) -> StatusError:
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {_named(owner)}", "field": shown(path)}
        for owner, path in conflicts
    ]
    if len(conflicts) == 1:
        owner, path = conflicts[0]
        text = f"Apply failed with 1 conflict: conflict with {_named(owner)}: {shown(path)}"
        return StatusError(409, "Conflict", text, {"causes": causes})
    by_owner: dict[str, list[str]] = {}
    for owner, path in conflicts:
        by_owner.setdefault(_named(owner), []).append(f"- {shown(path)}")
    parts = [f"conflicts with {name}:\n" + "\n".join(lines) for name, lines in sorted(by_owner.items())]
    text = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(parts)
    return StatusError(409, "Conflict", text, {"causes": causes})


def _named(owner: Owner) -> str:
    name = quote(owner.manager)
    if owner.subresource:
        name += f" with subresource {quote(owner.subresource)}"
    if owner.operation == "Update":
        name += f" using {owner.api_version}"
    return name
