"""What has ended: counters, indexes, and the pods that are counted but still carry the finalizer.

A pod is counted in two steps, so that a crash between them neither loses nor doubles it: its UID is written to
`status.uncountedTerminatedPods`, then its finalizer goes, then the UID becomes one more in the counter.
"""

from dataclasses import dataclass, field

from .indexes import parse_indexes
from .policy import FAIL_INDEX, IGNORE, match_policy
from .view import FAILURES, IGNORED, JSON, UNCOUNTED, JobFacts, count_of, deleting, index_of, phase, tracked


@dataclass
class Tally:
    """The state of counting after one look."""

    succeeded: int = 0
    """Counted for good; of an Indexed Job, see `succeeded_indexes`."""
    failed: int = 0
    uncounted_succeeded: list[str] = field(default_factory=list)
    uncounted_failed: list[str] = field(default_factory=list)
    new_succeeded: list[JSON] = field(default_factory=list)
    """Ended, and not yet written down anywhere."""
    new_failed: list[JSON] = field(default_factory=list)
    succeeded_indexes: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)

    def total_succeeded(self, facts: JobFacts) -> int:
        """Return the successes, counted for good or not."""
        if facts.indexed:
            return len(self.succeeded_indexes)
        return self.succeeded + len(self.uncounted_succeeded) + len(self.new_succeeded)

    def total_failed(self, facts: JobFacts) -> int:
        """Return the failures, but for those that the policy ignores."""
        return self.failed + len(self.uncounted_failed) + sum(counts(facts, pod) for pod in self.new_failed)


def take_tally(facts: JobFacts, pods: list[JSON]) -> Tally:
    """Return what has ended."""
    status, tally = facts.status, Tally()
    uncounted = status.get(UNCOUNTED) or {}
    held = {pod["metadata"]["uid"] for pod in pods if tracked(pod)}
    before_succeeded, before_failed = uncounted.get("succeeded") or [], uncounted.get("failed") or []
    tally.uncounted_succeeded = [uid for uid in before_succeeded if uid in held]
    tally.uncounted_failed = [uid for uid in before_failed if uid in held]
    tally.succeeded = status.get("succeeded", 0) + len(before_succeeded) - len(tally.uncounted_succeeded)
    tally.failed = status.get("failed", 0) + len(before_failed) - len(tally.uncounted_failed)
    known = {*tally.uncounted_succeeded, *tally.uncounted_failed}
    for pod in pods:
        if not tracked(pod) or pod["metadata"]["uid"] in known or not _has_place(facts, pod):
            continue
        if phase(pod) == "Succeeded":
            tally.new_succeeded.append(pod)
        elif is_failed(facts, pod):
            tally.new_failed.append(pod)
    if facts.indexed:
        _take_indexes(facts, tally)
    return tally


def _has_place(facts: JobFacts, pod: JSON) -> bool:
    return not facts.indexed or 0 <= index_of(pod) < facts.spec["completions"]


def _take_indexes(facts: JobFacts, tally: Tally) -> None:
    completions = facts.spec["completions"]
    before = parse_indexes(facts.status.get("completedIndexes", ""))
    tally.succeeded_indexes = {index for index in before if index < completions}
    tally.succeeded_indexes |= {index_of(pod) for pod in tally.new_succeeded}
    if facts.per_index:
        before = parse_indexes(facts.status.get("failedIndexes") or "")
        tally.failed_indexes = {index for index in before if index < completions}
        tally.failed_indexes |= {index_of(pod) for pod in tally.new_failed if _ends_index(facts, pod)}


def is_failed(facts: JobFacts, pod: JSON) -> bool:
    """Return whether a pod counts as failed: one that is being deleted does, unless only ended pods are replaced."""
    if phase(pod) == "Failed":
        return True
    return not facts.only_ended_replaced and deleting(pod) and phase(pod) != "Succeeded"


def action_of(facts: JobFacts, pod: JSON) -> str:
    """Return what the policy says of a failed pod."""
    return match_policy(facts.spec.get("podFailurePolicy"), pod, per_index=facts.per_index).action


def counts(facts: JobFacts, pod: JSON) -> bool:
    """Return whether a failed pod counts against the limits."""
    return action_of(facts, pod) != IGNORE


def _ends_index(facts: JobFacts, pod: JSON) -> bool:
    action = action_of(facts, pod)
    if action == FAIL_INDEX:
        return True
    return action != IGNORE and count_of(pod, FAILURES) >= facts.spec["backoffLimitPerIndex"]


def next_counts(facts: JobFacts, pod: JSON) -> tuple[int, int]:
    """Return failures and ignored failures of an index after this failed pod of it."""
    ignored = action_of(facts, pod) == IGNORE
    return count_of(pod, FAILURES) + (not ignored), count_of(pod, IGNORED) + ignored
