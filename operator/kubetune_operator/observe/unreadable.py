"""An object that the API server stores but this operator cannot read: a CRD of another version, most likely."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from kubetune_api.conditions import Condition
from kubetune_api.evalstatus import EvalRunStatus
from kubetune_api.ftjstatus import FineTuneJobStatus

from ..plan import Refusal
from ..plan.parse import parse_status
from .snapshot import Status
from .terminal import condition, holds
from .timestamps import format_time


def unreadable(manifest: Mapping[str, Any], refusal: Refusal, now: datetime) -> Status:
    """Return the status with Accepted False; one that was accepted before is left alone, for it may be running."""
    stored = manifest.get("status") or {}
    is_job = manifest["kind"] == "FineTuneJob"
    status: Status = parse_status(FineTuneJobStatus, stored) if is_job else parse_status(EvalRunStatus, stored)
    if holds(status.conditions, "Accepted"):
        return status
    old = condition(status.conditions, "Accepted")
    generation = manifest["metadata"].get("generation")
    entry = Condition(
        type="Accepted",
        status="False",
        reason=refusal.reason,
        message=f"this operator cannot read the spec: {refusal.message}"[:1500],
        last_transition_time=old.last_transition_time if old and old.status == "False" else format_time(now),
        observed_generation=generation,
    )
    others = [known for known in status.conditions if known.type != "Accepted"]
    return status.model_copy(update={"conditions": [entry, *others], "observed_generation": generation})
