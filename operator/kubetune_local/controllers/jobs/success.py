"""successPolicy: which indexes are enough (KEP-3998)."""

from typing import Any

from .indexes import parse_indexes

JSON = dict[str, Any]


def success_policy_message(policy: JSON | None, completions: int, succeeded: set[int]) -> str:
    """Return the message of the first rule that holds, else an empty text."""
    for number, rule in enumerate((policy or {}).get("rules") or ()):
        wanted = rule.get("succeededIndexes")
        among = succeeded if wanted is None else succeeded & parse_indexes(wanted)
        count = rule.get("succeededCount")
        if count is None:
            count = len({index for index in parse_indexes(wanted or "") if index < completions})
        if len(among) >= count:
            return f"Matched rules at index {number}"
    return ""
