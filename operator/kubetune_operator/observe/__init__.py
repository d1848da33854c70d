"""READ BACK: (Snapshot, now) -> conditions, progress, results, and what is to be done next. Pure."""

from .observe import Observation, observe
from .snapshot import ApplyFailure, EventView, JobView, Reports, Snapshot, Status, Tuning, job_view
from .transitions import Notice, notices

__all__ = [
    "ApplyFailure",
    "EventView",
    "JobView",
    "Notice",
    "Observation",
    "Reports",
    "Snapshot",
    "Status",
    "Tuning",
    "job_view",
    "notices",
    "observe",
]
