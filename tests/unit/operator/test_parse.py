"""Reading what the API server stores, of this version and of others."""

from kubetune_api.finetunejob import FineTuneJob
from kubetune_operator.observe.terminal import is_settled, is_terminal
from kubetune_operator.observe.unreadable import unreadable
from kubetune_operator.plan import Refusal, parse
from unit.operator.builders import NOW, ago, job_manifest, stored

OVER = {"type": "Succeeded", "status": "True", "reason": "Completed", "lastTransitionTime": ago(5)}


def test_fields_that_another_version_wrote_into_status_do_not_hide_that_a_run_is_over() -> None:
    strange = {"type": "New", "status": "Maybe", "reason": "x", "lastTransitionTime": ago(5)}
    parsed = parse(job_manifest({"conditions": [strange, OVER | {"extra": 1}], "novel": {"a": 1}, "runs": "many"}))
    assert isinstance(parsed, FineTuneJob)
    assert parsed.status is not None
    assert is_terminal(parsed.status.conditions)
    assert parsed.status.runs is None


def test_a_spec_that_cannot_be_read_is_refused_with_its_path() -> None:
    parsed = parse(job_manifest(training={"rate": 1}))
    assert isinstance(parsed, Refusal)
    assert parsed.field == "spec.training.rate"


def test_an_unreadable_object_is_not_accepted_and_not_over() -> None:
    manifest = job_manifest(training={"rate": 1})
    refusal = parse(manifest)
    assert isinstance(refusal, Refusal)
    status = unreadable(manifest, refusal, NOW)
    assert [(entry.type, entry.status) for entry in status.conditions] == [("Accepted", "False")]
    assert not is_terminal(status.conditions)


def test_an_unreadable_object_that_was_accepted_is_left_alone() -> None:
    manifest = job_manifest(stored(), training={"rate": 1})
    refusal = parse(manifest)
    assert isinstance(refusal, Refusal)
    status = unreadable(manifest, refusal, NOW)
    assert [(entry.type, entry.status) for entry in status.conditions] == [("Accepted", "True")]


def test_only_what_is_over_and_told_and_kept_is_settled() -> None:
    over = stored(conditions=[OVER])
    assert is_settled(job_manifest(over))
    assert not is_settled(job_manifest(over, ttlSecondsAfterFinished=5))
    assert not is_settled(job_manifest(over | {"observedGeneration": 0}))
    assert not is_settled(job_manifest(stored()))
    assert not is_settled(job_manifest())
