"""Run reports: what the trainer says back, as lines on stdout and as the pod's termination message."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from .conditions import Artifact
from .evalstatus import GateResult, MetricResult
from .fields import ApiModel
from .ftjstatus import DatasetStatus, Lineage, Progress, Resolved

#: A report line is this marker, a space and one JSON document; every other line of the log is for people.
MARKER = "KUBETUNE"
#: The kubelet keeps this many bytes of a termination message.
TERMINATION_LIMIT = 4096


class ProgressLine(ApiModel):
    """Training goes on."""

    type: Literal["Progress"] = "Progress"
    progress: Progress


class EvalProgressLine(ApiModel):
    """Evaluation goes on."""

    type: Literal["EvalProgress"] = "EvalProgress"
    percent: int
    candidate: str
    task: str
    remaining_seconds: int | None = None


class ResolvedLine(ApiModel):
    """What Auto and absent settings became."""

    type: Literal["Resolved"] = "Resolved"
    resolved: Resolved


class DatasetLine(ApiModel):
    """What the data checks found."""

    type: Literal["Dataset"] = "Dataset"
    dataset: DatasetStatus


class FinalLine(ApiModel):
    """How the stage ended: the last line, and the termination message."""

    type: Literal["Final"] = "Final"
    exit_code: int
    reason: str
    """reason in CamelCase: exits.REASONS, or a finer one such as LeakageFound."""
    message: str
    """message: what is wrong, where, and what to do."""
    progress: Progress | None = None
    resolved: Resolved | None = None
    dataset: DatasetStatus | None = None
    artifacts: list[Artifact] | None = None
    lineage: Lineage | None = None
    results: list[MetricResult] | None = None
    gates: list[GateResult] | None = None
    verdict: str | None = None
    report: str | None = None
    """report uri."""

    def termination_message(self) -> str:
        """Return JSON of at most TERMINATION_LIMIT bytes: large parts are left out before the message is cut."""
        document = self.dump()
        for part in ("", "results", "resolved", "lineage", "gates", "artifacts", "dataset", "progress", "verdict"):
            document.pop(part, None)
            if _fits(text := _compact(document)):
                return text
        kept = len(self.message)
        while not _fits(text):
            kept = kept * 3 // 4
            text = _compact(document | {"message": f"{self.message[:kept]} ... (the log has the rest)"})
        return text


def _compact(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def _fits(text: str) -> bool:
    return len(text.encode()) <= TERMINATION_LIMIT


ReportLine = Annotated[
    ProgressLine | EvalProgressLine | ResolvedLine | DatasetLine | FinalLine, Field(discriminator="type")
]
_LINES: TypeAdapter[ReportLine] = TypeAdapter(ReportLine)


def format_line(line: ReportLine) -> str:
    """Return the log line of a report, without the newline."""
    return f"{MARKER} {_compact(line.dump())}"


def parse_line(text: str) -> ReportLine | None:
    """Return the report in a log line, or None for a line for people, or one that was cut."""
    head, _, body = text.strip().partition(" ")
    if head != MARKER:
        return None
    try:
        return _LINES.validate_json(body)
    except ValidationError:
        return None


def parse_termination(text: str | None) -> FinalLine | None:
    """Return the final report in a termination message, or None when the trainer left none."""
    try:
        return FinalLine.model_validate_json(text or "")
    except ValidationError:
        return None
