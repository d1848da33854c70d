"""podFailurePolicy: which rule a failed pod matches (KEP-3329); the first that fits decides."""

from dataclasses import dataclass
from typing import Any

JSON = dict[str, Any]

FAIL_JOB = "FailJob"
FAIL_INDEX = "FailIndex"
IGNORE = "Ignore"
COUNT = "Count"


@dataclass(frozen=True)
class Match:
    """What a rule says of a failed pod."""

    action: str
    message: str = ""
    """Why the Job fails, for FailJob."""


def match_policy(policy: JSON | None, pod: JSON, *, per_index: bool) -> Match:
    """Return the action for a failed pod; Count when no rule fits.

    Args:
        policy: `spec.podFailurePolicy` of the Job.
        pod: The failed pod.
        per_index: Whether the Job has `backoffLimitPerIndex`; FailIndex means nothing without.
    """
    for number, rule in enumerate((policy or {}).get("rules", ())):
        action = rule.get("action", COUNT)
        if action == FAIL_INDEX and not per_index:
            continue
        if "onExitCodes" in rule:
            hit = _exit_code(rule["onExitCodes"], pod)
            if hit is not None:
                name, code = hit
                failure = f"Container {name} for pod {_name(pod)} failed with exit code {code}"
                return Match(action, f"{failure} matching {action} rule at index {number}")
        elif (condition := _condition(rule.get("onPodConditions", ()), pod)) is not None:
            return Match(action, f"Pod {_name(pod)} has condition {condition} matching {action} rule at index {number}")
    return Match(COUNT)


def _name(pod: JSON) -> str:
    return f"{pod['metadata'].get('namespace', '')}/{pod['metadata']['name']}"


def _exit_code(requirement: JSON, pod: JSON) -> tuple[str, int] | None:
    """Return the first container whose exit code fits; code 0 never does."""
    status = pod.get("status", {})
    wanted, values = requirement.get("containerName"), requirement.get("values", ())
    for entry in (*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ())):
        terminated = entry.get("state", {}).get("terminated")
        if terminated is None or (wanted and entry["name"] != wanted):
            continue
        code = int(terminated.get("exitCode", 0))
        if code != 0 and (code in values) is (requirement.get("operator") == "In"):
            return entry["name"], code
    return None


def _condition(patterns: list[JSON], pod: JSON) -> str | None:
    conditions = {entry["type"]: entry.get("status") for entry in pod.get("status", {}).get("conditions", ())}
    for pattern in patterns:
        if conditions.get(pattern["type"]) == pattern.get("status", "True"):
            return str(pattern["type"])
    return None
