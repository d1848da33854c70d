"""An object that cannot be told the truth of: a spec of another version, or children that we may not read."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from kubetune_api.conditions import Condition
from kubetune_api.evalstatus import EvalRunStatus
from kubetune_api.ftjstatus import FineTuneJobStatus
from kubetune_api.scrub import scrub

from ..plan import Refusal
from ..plan.parse import parse_status
from .snapshot import Status
from .terminal import condition, holds, is_terminal
from .timestamps import format_time

FORBIDDEN = "Forbidden"
_AGAIN_AFTER = 30.0


def forbidden(what: str, message: str) -> Refusal:
    """Return why an object cannot be looked at: the operator may not read its children."""
    told = f"the operator may not {what}: {message}. Check its Role and RoleBinding; the run goes on meanwhile"
    return Refusal(FORBIDDEN, "", told)


def look_again_after(refusal: Refusal) -> float | None:
    """Return when to look again: rights come back, a spec that cannot be read is changed first."""
    return _AGAIN_AFTER if refusal.reason == FORBIDDEN else None


def stored_status(manifest: Mapping[str, Any]) -> Status:
    """Return the status of a manifest."""
    stored = manifest.get("status") or {}
    is_job = manifest["kind"] == "FineTuneJob"
    return parse_status(FineTuneJobStatus, stored) if is_job else parse_status(EvalRunStatus, stored)


def unreadable(manifest: Mapping[str, Any], refusal: Refusal, now: datetime) -> Status:
    """Return the status that says so, in one condition; all others keep what was known, and so does a run's end."""
    status = stored_status(manifest)
    if is_terminal(status.conditions):
        return status
    if refusal.reason == FORBIDDEN:
        return _with(status, "Progressing", refusal.reason, refusal.message, manifest, now)
    if holds(status.conditions, "Accepted"):
        return status
    message = f"this operator cannot read the spec: {refusal.message}"
    return _with(status, "Accepted", refusal.reason, message, manifest, now)


def _with(status: Status, type_: str, reason: str, message: str, manifest: Mapping[str, Any], now: datetime) -> Status:
    old = condition(status.conditions, type_)
    generation = manifest["metadata"].get("generation")
    entry = Condition(
        type=type_,
        status="False",
        reason=reason,
        message=scrub(message)[:1500],
        last_transition_time=old.last_transition_time if old and old.status == "False" else format_time(now),
        observed_generation=generation,
    )
    types = [known.type for known in status.conditions]
    entries = [entry if known.type == type_ else known for known in status.conditions]
    entries = entries if type_ in types else [entry, *entries]
    return status.model_copy(update={"conditions": entries, "observed_generation": generation})
