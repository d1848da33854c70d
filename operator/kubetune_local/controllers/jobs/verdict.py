"""Whether a Job has reached its end, and why."""

from dataclasses import dataclass
from datetime import datetime

from kubetune_local import timestamps

from .policy import FAIL_JOB, match_policy
from .success import success_policy_message
from .tally import Tally, is_failed
from .view import JSON, JobFacts, phase

SUCCESS = "SuccessCriteriaMet"
FAILURE = "FailureTarget"


@dataclass(frozen=True)
class Verdict:
    """The end of a Job, before its pods are gone."""

    type: str
    """`SuccessCriteriaMet` or `FailureTarget`."""
    reason: str
    message: str

    @property
    def succeeded(self) -> bool:
        """Whether it is a good end."""
        return self.type == SUCCESS


REACHED = Verdict(SUCCESS, "CompletionsReached", "Reached expected number of succeeded pods")


def earlier_verdict(facts: JobFacts) -> Verdict | None:
    """Return the verdict that the status holds already."""
    for type_ in (SUCCESS, FAILURE):
        if found := facts.condition(type_):
            return Verdict(type_, found.get("reason", ""), found.get("message", ""))
    return None


def find_verdict(facts: JobFacts, pods: list[JSON], tally: Tally, now: datetime) -> Verdict | None:
    """Return why a Job ends before all its pods have come to their end; None when it goes on."""
    if earlier := earlier_verdict(facts):
        return earlier
    if message := _policy_message(facts, pods):
        return Verdict(FAILURE, "PodFailurePolicy", message)
    if tally.total_failed(facts) > facts.spec.get("backoffLimit", 6) or _restarted_too_often(facts, pods):
        return Verdict(FAILURE, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    left = seconds_to_deadline(facts, now)
    if left is not None and left <= 0:
        return Verdict(FAILURE, "DeadlineExceeded", "Job was active longer than specified deadline")
    return _of_indexes(facts, tally) if facts.indexed else None


def seconds_to_deadline(facts: JobFacts, now: datetime) -> float | None:
    """Return the active time that is left, None when it is not limited."""
    limit, start = facts.spec.get("activeDeadlineSeconds"), facts.status.get("startTime")
    if limit is None or facts.suspended:
        return None
    return float(limit) - (timestamps.seconds_since(start, now) if start else 0.0)


def _of_indexes(facts: JobFacts, tally: Tally) -> Verdict | None:
    completions, failed, succeeded = facts.spec["completions"], len(tally.failed_indexes), len(tally.succeeded_indexes)
    if facts.per_index:
        most = facts.spec.get("maxFailedIndexes")
        if most is not None and failed > most:
            message = "Job has exceeded the specified maximal number of failed indexes"
            return Verdict(FAILURE, "MaxFailedIndexesExceeded", message)
        if failed and failed + succeeded >= completions:
            return Verdict(FAILURE, "FailedIndexes", "Job has failed indexes")
    message = success_policy_message(facts.spec.get("successPolicy"), completions, tally.succeeded_indexes)
    return Verdict(SUCCESS, "SuccessPolicy", message) if message else None


def _policy_message(facts: JobFacts, pods: list[JSON]) -> str:
    policy = facts.spec.get("podFailurePolicy")
    for pod in pods if policy else ():
        if is_failed(facts, pod):
            match = match_policy(policy, pod, per_index=facts.per_index)
            if match.action == FAIL_JOB:
                return match.message
    return ""


def _restarted_too_often(facts: JobFacts, pods: list[JSON]) -> bool:
    """Return whether the containers of pods with restartPolicy OnFailure were restarted too often."""
    if facts.spec["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    restarts = 0
    for pod in pods:
        if phase(pod) in ("Running", "Pending"):
            status = pod.get("status", {})
            each = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
            restarts += sum(entry.get("restartCount", 0) for entry in each)
    limit = facts.spec.get("backoffLimit", 6)
    return restarts > 0 if limit == 0 else restarts >= limit
