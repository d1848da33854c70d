"""How far an evaluation is, and what is said of the time left."""

import io

from kubetune_api.evalrun import Task
from kubetune_trainer.evaluation.progress import EvalProgress
from kubetune_trainer.reporting import Reporter

TASK = Task.model_validate({"name": "t", "type": "Perplexity", "dataset": {"uri": "pvc://d/t.jsonl"}})


def progress(now: list[float]) -> EvalProgress:
    """Return the progress of two candidates with 100 rows each."""
    return EvalProgress(Reporter(io.StringIO()), [(TASK, 100)], candidates=2, clock=lambda: now[0])


def test_tells_no_time_from_the_first_rows_alone() -> None:
    now = [0.0]
    tracked = progress(now)
    now[0] = 30.0
    tracked.advance(TASK)
    assert tracked.remaining_seconds() is None


def test_tells_the_time_by_the_speed_so_far() -> None:
    now = [0.0]
    tracked = progress(now)
    now[0] = 10.0
    tracked.advance(TASK, 50)
    assert (tracked.percent, tracked.remaining_seconds()) == (25, 30)


def test_rows_of_an_earlier_attempt_count_as_done_and_not_for_the_speed() -> None:
    now = [0.0]
    tracked = progress(now)
    tracked.skip(TASK, 100)
    now[0] = 10.0
    tracked.advance(TASK, 50)
    assert (tracked.percent, tracked.remaining_seconds()) == (75, 10)
