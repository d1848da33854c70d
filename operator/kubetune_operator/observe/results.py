"""What the trainer said in the end -> the fields of status."""

from typing import Any

from kubetune_api.ftjstatus import Resolved
from kubetune_api.report import FinalLine

from .snapshot import Reports

MAX_RESULTS = 32
_MAX_ARTIFACTS = 16


def fine_tune_job(final: FinalLine | None, reports: Reports, old: Resolved | None) -> dict[str, Any]:
    """Return the fields of a FineTuneJob's status that a stage reported."""
    found: dict[str, Any] = {}
    if reports.dataset is not None:
        found["dataset"] = reports.dataset
    if reports.resolved is not None:
        found["resolved"] = _joined(old, reports.resolved)
    if final is None:
        return found
    if final.dataset is not None:
        found["dataset"] = final.dataset
    if final.resolved is not None:
        found["resolved"] = _joined(found.get("resolved", old), final.resolved)
    if final.artifacts is not None:
        found["artifacts"] = final.artifacts[:_MAX_ARTIFACTS]
    if final.lineage is not None:
        found["lineage"] = final.lineage
    return found


def eval_run(final: FinalLine | None) -> dict[str, Any]:
    """Return the fields of an EvalRun's status that the evaluation reported."""
    if final is None:
        return {}
    found = {
        "results": final.results[:MAX_RESULTS] if final.results is not None else None,
        "gates": final.gates,
        "verdict": final.verdict,
        "report": final.report,
    }
    return {name: value for name, value in found.items() if value is not None}


def _joined(old: Resolved | None, new: Resolved) -> Resolved:
    return old.model_copy(update=new.model_dump(exclude_none=True)) if old else new
