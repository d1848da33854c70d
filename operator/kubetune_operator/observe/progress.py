"""Progress: what the trainer reported, completed for people, and written no more often than the interval."""

from datetime import datetime, timedelta

from kubetune_api.evalstatus import EvalProgress
from kubetune_api.ftjstatus import Progress
from kubetune_api.report import EvalProgressLine

from .timestamps import for_people, format_time, parse_time


def training(reported: Progress | None, old: Progress | None, now: datetime, *, over: bool) -> Progress | None:
    """Return the progress of training with its summary, percentage and time left."""
    if reported is None:
        return old.model_copy(update={"remaining": None, "estimated_completion_time": None}) if old and over else old
    step, total = reported.step, reported.total_steps
    remaining, completion = reported.remaining, reported.estimated_completion_time
    if over:
        remaining = completion = None
    elif completion is not None and remaining is None:
        remaining = for_people(parse_time(completion) - now)
    return reported.model_copy(
        update={
            "summary": f"{step}/{total}" if total else str(step),
            "percent": reported.percent or (100 * step // total if total else 0),
            "remaining": remaining,
            "estimated_completion_time": completion,
            "updated_at": reported.updated_at or format_time(now),
        }
    )


def evaluation(line: EvalProgressLine | None, old: EvalProgress | None, now: datetime) -> EvalProgress | None:
    """Return the progress of an evaluation."""
    if line is None:
        return old
    left = line.remaining_seconds
    return EvalProgress(
        percent=line.percent,
        candidate=line.candidate,
        task=line.task,
        estimated_completion_time=format_time(now + timedelta(seconds=left)) if left is not None else None,
        updated_at=format_time(now),
    )
