"""The decision: a Job, its pods and the time in; pods to make, remove and release, and the new status out.

It is asked again after each step that it called for, until it has nothing more to say.
"""

from dataclasses import dataclass, field
from datetime import datetime

from .backoff import Record, advance
from .replicas import Change, Scene, find_change, last_failures
from .statuses import Event, next_status
from .tally import Tally, counts, is_failed, take_tally
from .verdict import REACHED, Verdict, earlier_verdict, find_verdict, seconds_to_deadline
from .view import JSON, JobFacts, active, phase, tracked

POD_BACK_OFF_SECONDS = 10.0


@dataclass
class Decision:
    """What to do, in this order."""

    discard: list[JSON] = field(default_factory=list)
    """Pods to delete without counting them: the finalizer goes first."""
    create: list[JSON] = field(default_factory=list)
    status: JSON = field(default_factory=dict)
    """To be written when no pod is to be discarded or made."""
    events: list[Event] = field(default_factory=list)
    """To be told when the status has been written."""
    stop: list[JSON] = field(default_factory=list)
    """Pods to delete when the status says why the Job ends; before, they would look like failures of their own."""
    release: list[JSON] = field(default_factory=list)
    """Pods that lose their finalizer when the status has been written."""
    record: Record = field(default_factory=Record)
    again_after: float | None = None


def decide(
    job: JSON, pods: list[JSON], now: datetime, record: Record | None = None, base: float = POD_BACK_OFF_SECONDS
) -> Decision:
    """Return what is to be done for a Job.

    Args:
        job: The Job.
        pods: Every pod that it controls.
        now: The time.
        record: Failures since the last success, from the decision before.
        base: First pause in seconds before a failed pod is replaced.
    """
    facts, record = JobFacts(job), record or Record()
    if facts.finished:
        return Decision(status=facts.status, release=[pod for pod in pods if tracked(pod)], record=record)
    tally = take_tally(facts, pods)
    record = advance(record, [*tally.new_succeeded, *tally.new_failed], now)
    verdict = find_verdict(facts, pods, tally, now)
    decision = Decision(record=record)
    change = Change()
    if verdict is not None:
        decision.stop = [pod for pod in pods if active(pod)]
    elif not facts.deleting:
        change = find_change(Scene(facts, pods, tally, record, now, base))
        decision.create, decision.discard = change.create, change.delete
        if not change.create and not change.delete and _complete(facts, pods, tally):
            verdict = REACHED
    decision.again_after = _soonest(change.again_after, seconds_to_deadline(facts, now) if verdict is None else None)
    _count(facts, tally, pods, verdict)
    decision.status, decision.events = next_status(facts, pods, tally, verdict, now)
    decision.release = _releasable(facts, pods, tally, verdict)
    return decision


def _complete(facts: JobFacts, pods: list[JSON], tally: Tally) -> bool:
    if any(map(active, pods)):
        return False
    completions, succeeded = facts.spec.get("completions"), tally.total_succeeded(facts)
    return succeeded > 0 if completions is None else succeeded >= completions


def _soonest(*pauses: float | None) -> float | None:
    return min((pause for pause in pauses if pause is not None), default=None)


def _count(facts: JobFacts, tally: Tally, pods: list[JSON], verdict: Verdict | None) -> None:
    """Write down the UIDs of pods that have ended.

    A failed Job takes its other pods for failed; one that has succeeded no longer minds what becomes of them.
    """
    waiting: set[str] = set()
    if verdict is None:
        waiting = {pod["metadata"]["uid"] for pod in last_failures(facts, pods, tally).values()}
    known = {*tally.uncounted_succeeded, *tally.uncounted_failed}
    failed = [pod for pod in tally.new_failed if pod["metadata"]["uid"] not in waiting]
    if verdict is not None and not verdict.succeeded:
        new = {pod["metadata"]["uid"] for pod in (*tally.new_succeeded, *tally.new_failed)}
        failed += [pod for pod in pods if tracked(pod) and pod["metadata"]["uid"] not in known | new]
    if (earlier := earlier_verdict(facts)) and earlier.succeeded:
        failed = []
    if not facts.indexed:
        tally.uncounted_succeeded += [pod["metadata"]["uid"] for pod in tally.new_succeeded]
    tally.uncounted_failed += [pod["metadata"]["uid"] for pod in failed if counts(facts, pod)]


def _releasable(facts: JobFacts, pods: list[JSON], tally: Tally, verdict: Verdict | None) -> list[JSON]:
    held = [pod for pod in pods if tracked(pod)]
    if facts.deleting or verdict is not None:
        good = verdict is not None and verdict.succeeded
        return held if facts.deleting or good or earlier_verdict(facts) or not any(map(active, pods)) else []
    waiting = {pod["metadata"]["uid"] for pod in last_failures(facts, pods, tally).values()}
    over = [pod for pod in held if phase(pod) == "Succeeded" or is_failed(facts, pod)]
    return [pod for pod in over if pod["metadata"]["uid"] not in waiting]
