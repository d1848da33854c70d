"""The other runs of a namespace, read only where the policy limits them."""

from datetime import UTC, datetime

from ..observe.timestamps import parse_time
from ..plan import Plan, Refusal, Subject, parse
from ..plan.limits import applied, owned, usage_of
from ..plan.owner import uid_of
from ..policy_file import PolicyFile
from .client import Client


class Limits:
    """Lets runs of a namespace go or wait, one decision at a time."""

    def __init__(self, client: Client, policy: PolicyFile) -> None:
        self._client = client
        self._policy = policy
        self._granted: set[str] = set()
        """Runs that were let go whose status may not say so yet: a list that was read before must not overlook them."""

    async def applied(self, subject: Subject, decided: Plan | Refusal) -> Plan | Refusal:
        """Return the plan, waiting when the namespace has no room for another run."""
        limit = self._policy.current.limit_of(subject.metadata.namespace)
        status = subject.status
        if limit is None or isinstance(decided, Refusal) or owned(subject):
            return decided
        if status is not None and (status.epoch or status.completion_time):
            return decided
        manifests = [
            manifest
            for kind in ("FineTuneJob", "EvalRun")
            for manifest in await self._client.list(kind, subject.metadata.namespace)
        ]
        runs = []
        for manifest in manifests:
            other = parse(manifest)
            if isinstance(other, Refusal) or owned(other) or manifest["metadata"].get("deletionTimestamp"):
                continue
            if other.status is not None and other.status.epoch:
                self._granted.discard(uid_of(other))
            ended = other.status.completion_time if other.status else None
            granted = uid_of(other) in self._granted and uid_of(other) != uid_of(subject)
            runs.append(usage_of(other, ended=parse_time(ended) if ended else None, granted=granted))
        result = applied(subject, decided, limit, runs, datetime.now(UTC))
        if isinstance(result, Plan) and result.waiting is None and not subject.spec.suspend:
            self._granted.add(uid_of(subject))
        else:
            self._granted.discard(uid_of(subject))
        return result
