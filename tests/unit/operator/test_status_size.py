"""The size of a status is bounded, whatever pods and people write."""

import pytest

from kubetune_operator.observe.size import LIMIT, bounded, size_of
from unit.operator.builders import ago, eval_run, fine_tune_job, training

LONG = "ü" * 1000


def attempts(count: int = 10) -> list[dict[str, object]]:
    return [
        {"number": n, "stage": "train", "pod": f"pod-{n}", "started": ago(9), "ended": ago(8), "message": f"{n} {LONG}"}
        for n in range(count)
    ]


def test_a_status_of_usual_size_is_left_as_it_is() -> None:
    status = fine_tune_job(training(attempts=attempts(2))).status
    assert status is not None
    assert bounded(status) is status


def test_the_messages_of_the_oldest_attempts_go_first_and_the_last_one_stays() -> None:
    status = fine_tune_job(training(attempts=attempts())).status
    assert status is not None
    assert size_of(status) > LIMIT
    cut = bounded(status)
    assert size_of(cut) <= LIMIT
    assert cut.attempts is not None
    told = [entry.message is not None for entry in cut.attempts]
    assert told == sorted(told)
    assert told[-1]
    assert not told[0]
    assert bounded(status) == cut


@pytest.mark.parametrize("count", [32])
def test_everything_at_its_largest_fits(count: int) -> None:
    candidate = {"name": LONG[:250], "value": LONG[:250], "interval": ["0.1", "0.2"]}
    result = {"task": LONG[:250], "metric": "rougeL", "candidates": [candidate] * 10, "n": 5}
    gates = [{"name": LONG[:250], "passed": True, "message": LONG * 2}] * 16
    entries = [
        {"type": f"T{n}", "status": "True", "reason": "R", "message": LONG, "lastTransitionTime": ago(1)}
        for n in range(7)
    ]
    status = eval_run(
        {"conditions": entries, "results": [result] * count, "gates": gates, "attempts": attempts()}
    ).status
    assert status is not None
    cut = bounded(status)
    assert size_of(cut) <= LIMIT
    assert len(cut.conditions) == 7
    assert cut.attempts
