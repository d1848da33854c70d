"""Run reports: log lines -> the last report of each type, and what a pod said in the end."""

from collections.abc import Iterable
from dataclasses import replace

from kubetune_api.ftjstatus import Progress
from kubetune_api.report import (
    DatasetLine,
    EvalProgressLine,
    FinalLine,
    ProgressLine,
    ResolvedLine,
    parse_line,
    parse_termination,
)

from .pods import PodView
from .snapshot import Reports, Snapshot


def read_reports(lines: Iterable[str], known: Reports | None = None) -> Reports:
    """Return the last report of each type in `lines`; those of `known` where there is none."""
    found = known or Reports()
    for text in lines:
        line = parse_line(text)
        if isinstance(line, ProgressLine):
            found = replace(found, progress=line.progress)
        elif isinstance(line, EvalProgressLine):
            found = replace(found, evaluation=line)
        elif isinstance(line, ResolvedLine):
            found = replace(found, resolved=line.resolved)
        elif isinstance(line, DatasetLine):
            found = replace(found, dataset=line.dataset)
        elif isinstance(line, FinalLine):
            found = replace(found, final=line)
    return found


def reports_of(snapshot: Snapshot, pod: PodView | None) -> Reports:
    """Return what was read of a pod's log."""
    return snapshot.reports.get(pod.name, Reports()) if pod else Reports()


def final_of(snapshot: Snapshot, pod: PodView | None) -> FinalLine | None:
    """Return the final report of a pod: the log has all of it, the termination message may be cut."""
    if pod is None:
        return None
    return reports_of(snapshot, pod).final or parse_termination(pod.message)


def progress_of(snapshot: Snapshot, pod: PodView | None) -> Progress | None:
    """Return the last progress of a pod."""
    final = final_of(snapshot, pod)
    return (final.progress if final else None) or reports_of(snapshot, pod).progress
