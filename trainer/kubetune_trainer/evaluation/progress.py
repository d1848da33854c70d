"""How far the evaluation is, and when it will be done."""

import time
from collections.abc import Callable, Sequence

from kubetune_api.evalrun import Task, TaskType

from ..reporting import Reporter

_EVERY_SECONDS = 5.0
#: The first rows wait for the model to load and say nothing of the speed: below this share no time is told.
_LEAST_SHARE = 0.03


def row_weight(task: Task) -> float:
    """Return about how long a row of the task takes, in units of a row whose answer is only scored."""
    return 1.0 if task.type is TaskType.PERPLEXITY else 2.0 + task.max_new_tokens / 16


class EvalProgress:
    """Counts rows over all candidates and tasks; reports at most every few seconds and on each new task."""

    def __init__(
        self,
        reporter: Reporter,
        rows: Sequence[tuple[Task, int]],
        candidates: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reporter, self._clock = reporter, clock
        self._total = candidates * sum(row_weight(task) * count for task, count in rows)
        self._done = self._skipped = 0.0
        self._began = clock()
        self._reported = float("-inf")
        self._at: tuple[str, str] | None = None

    def skip(self, task: Task, rows: int) -> None:
        """Count rows that an earlier attempt did."""
        self._skipped += row_weight(task) * rows

    def enter(self, candidate: str, task: Task) -> None:
        """A candidate begins a task."""
        self._at = (candidate, task.name)
        self._report()

    def advance(self, task: Task, rows: int = 1) -> None:
        """Count finished rows."""
        self._done += row_weight(task) * rows
        if self._clock() - self._reported >= _EVERY_SECONDS:
            self._report()

    @property
    def percent(self) -> int:
        """Percent of all work done; 100 only when all of it is."""
        return int(100 * (self._done + self._skipped) / self._total) if self._total else 100

    def remaining_seconds(self) -> int | None:
        """Return the estimated time to the end, or None before enough is known."""
        if self._done < _LEAST_SHARE * self._total:
            return None
        rate = self._done / max(self._clock() - self._began, 1e-9)
        return round(max(0.0, self._total - self._done - self._skipped) / rate)

    def _report(self) -> None:
        self._reported = self._clock()
        if self._at is not None:
            self._reporter.eval_progress(min(self.percent, 100), *self._at, self.remaining_seconds())
