"""Which pods a Job lacks, and which it has too many."""

from dataclasses import dataclass, field
from datetime import datetime

from kubetune_local import timestamps

from .backoff import Record, remaining, remaining_of_index
from .tally import Tally, is_failed, next_counts
from .template import pod_of
from .view import (
    FAILURES,
    IGNORED,
    JSON,
    JobFacts,
    active,
    count_of,
    finished_at,
    index_of,
    ready,
    terminating,
    tracked,
)

MOST_AT_ONCE = 500


@dataclass
class Change:
    """Pods to make and to remove."""

    create: list[JSON] = field(default_factory=list)
    delete: list[JSON] = field(default_factory=list)
    again_after: float | None = None
    """Seconds until a pause is over."""


@dataclass(frozen=True)
class Scene:
    """What the size of a Job follows from."""

    facts: JobFacts
    pods: list[JSON]
    tally: Tally
    record: Record
    now: datetime
    base: float


def find_change(scene: Scene) -> Change:
    """Return what is to be made or removed for the Job to have the pods it wants."""
    facts, running = scene.facts, [pod for pod in scene.pods if active(pod)]
    if facts.suspended:
        return Change(delete=running[:MOST_AT_ONCE])
    wanted = _wanted(scene, len(running))
    surplus = _surplus(facts, running, len(running) - wanted)
    if surplus:
        return Change(delete=surplus[:MOST_AT_ONCE])
    leaving = sum(map(terminating, scene.pods)) if facts.only_ended_replaced else 0
    lacking = min(wanted - len(running) - leaving, MOST_AT_ONCE)
    if lacking <= 0:
        return Change()
    if facts.indexed:
        return _of_indexes(scene, running, lacking)
    pause = remaining(scene.record.failures, scene.record.last, scene.now, scene.base)
    if pause > 0:
        return Change(again_after=pause)
    return Change(create=[pod_of(facts) for _ in range(lacking)])


def _wanted(scene: Scene, running: int) -> int:
    facts, tally = scene.facts, scene.tally
    parallelism, completions = facts.spec.get("parallelism", 1), facts.spec.get("completions")
    if completions is None:
        return running if tally.total_succeeded(facts) else int(parallelism)
    open_ = completions - tally.total_succeeded(facts) - len(tally.failed_indexes)
    return max(0, min(int(open_), int(parallelism)))


def _surplus(facts: JobFacts, running: list[JSON], at_least: int) -> list[JSON]:
    """Return pods to remove: those without a place first, then those that have come least far."""
    chosen: list[JSON] = []
    rest = sorted(running, key=_progress)
    if facts.indexed:
        seen: set[int] = set()
        kept: list[JSON] = []
        for pod in reversed(rest):
            index = index_of(pod)
            misplaced = index in seen or not 0 <= index < facts.spec["completions"]
            (chosen if misplaced else kept).append(pod)
            seen.add(index)
        rest = kept[::-1]
    if len(chosen) < at_least:
        chosen += rest[: at_least - len(chosen)]
    return chosen


def _progress(pod: JSON) -> tuple[bool, bool, bool, float]:
    """Order of pods, those that have come least far first; among equals the youngest first."""
    running = pod.get("status", {}).get("phase") == "Running"
    age = -timestamps.parse(pod["metadata"]["creationTimestamp"]).timestamp()
    return bool(pod["spec"].get("nodeName")), running, ready(pod), age


def _of_indexes(scene: Scene, running: list[JSON], lacking: int) -> Change:
    facts, tally = scene.facts, scene.tally
    taken = {index_of(pod) for pod in running} | tally.succeeded_indexes | tally.failed_indexes
    if facts.only_ended_replaced:
        taken |= {index_of(pod) for pod in scene.pods if terminating(pod)}
    open_ = [index for index in range(facts.spec["completions"]) if index not in taken]
    if not facts.per_index:
        pause = remaining(scene.record.failures, scene.record.last, scene.now, scene.base)
        if pause > 0:
            return Change(again_after=pause)
        return Change(create=[pod_of(facts, index) for index in open_[:lacking]])
    last = last_failures(facts, scene.pods, tally)
    pauses = {index: _pause(scene, last.get(index)) for index in open_[:lacking]}
    due = [index for index, pause in pauses.items() if pause <= 0]
    waiting = [pause for pause in pauses.values() if pause > 0]
    made = [_replacement(facts, index, last.get(index)) for index in due]
    return Change(create=made, again_after=min(waiting) if waiting else None)


def _pause(scene: Scene, failed: JSON | None) -> float:
    return remaining_of_index(failed, scene.now, scene.base) if failed is not None else 0.0


def _replacement(facts: JobFacts, index: int, failed: JSON | None) -> JSON:
    failures, ignored = next_counts(facts, failed) if failed is not None else (0, 0)
    return pod_of(facts, index, failures, ignored)


def last_failures(facts: JobFacts, pods: list[JSON], tally: Tally) -> dict[int, JSON]:
    """Return the last failed pod of each index that is to be tried again.

    It keeps its finalizer until its successor exists: it carries the count of failures.
    """
    if not facts.per_index:
        return {}
    over = tally.succeeded_indexes | tally.failed_indexes | {index_of(pod) for pod in pods if active(pod)}
    found: dict[int, JSON] = {}
    for pod in pods:
        index = index_of(pod)
        if tracked(pod) and is_failed(facts, pod) and 0 <= index < facts.spec["completions"] and index not in over:
            earlier = found.get(index)
            if earlier is None or _later(earlier, pod):
                found[index] = pod
    return found


def _later(earlier: JSON, pod: JSON) -> bool:
    def order(each: JSON) -> tuple[int, datetime]:
        created = timestamps.parse(each["metadata"]["creationTimestamp"])
        return count_of(each, FAILURES) + count_of(each, IGNORED), finished_at(each, created)

    return order(earlier) <= order(pod)
