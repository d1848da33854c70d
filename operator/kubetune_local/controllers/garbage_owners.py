"""What becomes of an object, from the state of each of its owners."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from kubetune_local.client import JSON

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"


@dataclass
class Verdict:
    """What to do with an object that has owners."""

    delete: bool = False
    policy: str = "Background"
    drop: set[str] = field(default_factory=set)
    """UIDs of owners whose references are to be taken off, for another owner lives."""
    problem: str = ""


def judge(owners: Sequence[JSON], states: Sequence[str], has_dependents: bool) -> Verdict:
    """Return what is to be done.

    Args:
        owners: The owner references.
        states: For each: `here`, `waiting` (deleted in the foreground), `absent` or `unknown`.
        has_dependents: Whether the object owns others.
    """
    by_state: dict[str, set[str]] = {}
    for owner, state in zip(owners, states, strict=True):
        by_state.setdefault(state, set()).add(owner["uid"])
    if unknown := by_state.get("unknown"):
        names = ", ".join(
            f"{each['apiVersion']} {each['kind']} {each['name']}" for each in owners if each["uid"] in unknown
        )
        return Verdict(problem=f"kept, for the API server does not know the kind of its owner: {names}")
    if by_state.get("here"):
        return Verdict(drop=by_state.get("absent", set()) | by_state.get("waiting", set()))
    if by_state.get("waiting"):
        return Verdict(delete=True, policy="Foreground" if has_dependents else "Background")
    return Verdict(delete=True)


def without_owner(owners: Sequence[JSON], uids: Collection[str]) -> list[JSON]:
    """Return the owner references but for those of some owners."""
    return [owner for owner in owners if owner["uid"] not in uids]
