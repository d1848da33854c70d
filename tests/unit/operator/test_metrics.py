"""Metrics: counted once, from what was stored, with bounded labels."""

from kubetune_api.conditions import Attempt, Condition
from kubetune_api.ftjstatus import FineTuneJobStatus
from kubetune_operator.cluster.keys import Key
from kubetune_operator.errors import NotFound
from kubetune_operator.telemetry.metrics import Metrics
from unit.operator.builders import ago

KEY = Key("FineTuneJob", "team", "bot")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def ended(reason: str) -> FineTuneJobStatus:
    over = Condition(type="Succeeded", status="False", reason=reason, last_transition_time=ago(0))
    failed = Condition(type="Failed", status="True", reason=reason, last_transition_time=ago(0))
    attempt = Attempt(number=1, stage="train", ended=ago(1), reason=reason)
    return FineTuneJobStatus(phase="Failed", active_seconds=9, conditions=[over, failed], attempts=[attempt])


def test_a_run_is_in_one_phase_at_a_time() -> None:
    metrics = Metrics()
    metrics.see(KEY, FineTuneJobStatus(phase="Training"))
    metrics.see(KEY, FineTuneJobStatus(phase="Evaluating"))
    assert value(metrics, "kubetune_runs", kind="FineTuneJob", phase="Training") == 0
    assert value(metrics, "kubetune_runs", kind="FineTuneJob", phase="Evaluating") == 1
    metrics.forget(KEY)
    assert value(metrics, "kubetune_runs", kind="FineTuneJob", phase="Evaluating") == 0


def test_an_end_is_counted_once() -> None:
    metrics = Metrics()
    metrics.count(KEY, FineTuneJobStatus(phase="Training"), ended("Diverged"))
    metrics.count(KEY, ended("Diverged"), ended("Diverged"))
    labels = {"kind": "FineTuneJob", "outcome": "failed", "reason": "Diverged"}
    assert value(metrics, "kubetune_runs_finished_total", **labels) == 1
    assert value(metrics, "kubetune_attempts_finished_total", stage="train", reason="Diverged") == 1


def test_accelerator_time_is_counted_with_the_outcome() -> None:
    metrics = Metrics()
    end = ended("Diverged").model_copy(update={"accelerator_seconds": 7200})
    metrics.count(KEY, FineTuneJobStatus(phase="Training"), end)
    metrics.count(KEY, end, end)
    name = "kubetune_accelerator_seconds_total"
    assert value(metrics, name, kind="FineTuneJob", outcome="failed") == 7200


def test_a_phase_is_timed_when_it_is_left_and_only_if_it_was_seen_to_begin() -> None:
    metrics = Metrics()
    preparing, training = FineTuneJobStatus(phase="Preparing"), FineTuneJobStatus(phase="Training")
    metrics.count(KEY, preparing, training)
    metrics.count(KEY, training, training)
    metrics.count(KEY, training, ended("Diverged"))
    name = "kubetune_phase_seconds_count"
    assert value(metrics, name, kind="FineTuneJob", phase="Preparing") is None
    assert value(metrics, name, kind="FineTuneJob", phase="Training") == 1


def test_nothing_is_kept_of_runs_that_are_gone() -> None:
    metrics = Metrics()

    def series() -> int:
        return sum(len(family.samples) for family in metrics.registry.collect())

    metrics.count(KEY, None, FineTuneJobStatus(phase="Training"))
    metrics.forget(KEY)
    before = series()
    for number in range(1000):
        key = Key("FineTuneJob", "team", f"bot-{number}")
        metrics.count(key, None, FineTuneJobStatus(phase="Training"))
        metrics.forget(key)
    assert series() == before
    assert metrics.known() == set()


def test_leader_and_watches_are_shown() -> None:
    metrics = Metrics()
    metrics.lead(True)
    metrics.watched({"jobs": 3.0})
    assert value(metrics, "kubetune_leader") == 1
    assert value(metrics, "kubetune_watch_age_seconds", resource="jobs") == 3


def test_reasons_nobody_knows_are_one_series() -> None:
    metrics = Metrics()
    metrics.count(KEY, None, ended("AnythingAtAll"))
    labels = {"kind": "FineTuneJob", "outcome": "failed", "reason": "Other"}
    assert value(metrics, "kubetune_runs_finished_total", **labels) == 1


def test_no_label_carries_a_name() -> None:
    metrics = Metrics()
    metrics.count(KEY, None, ended("Diverged"))
    metrics.failed(KEY, NotFound(404, "NotFound", "gone"))
    metrics.called("read", "Job", 200)
    used = {label for family in metrics.registry.collect() for sample in family.samples for label in sample.labels}
    assert used <= {"kind", "phase", "outcome", "reason", "stage", "error", "verb", "code", "resource", "le"}
