"""What the report says beside the results: how they came about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kubetune_api.run import RunFile

from ..evaluation.loading import Candidate
from ..evaluation.store import TaskResult


@dataclass(frozen=True)
class ReportContext:
    """How the results came about."""

    run_file: RunFile
    candidates: Sequence[Candidate]
    results: Mapping[tuple[str, str], TaskResult]
    """results by (candidate, task)."""
    prompts: Mapping[tuple[str, str], str]
    """prompts: the first one of each (candidate, task), as the model reads it."""
    dtype: str
    device: str
