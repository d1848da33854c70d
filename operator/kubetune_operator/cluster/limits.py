"""The other runs of a namespace, read only where the policy limits them."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from ..observe.timestamps import parse_time
from ..plan import Plan, Refusal, Subject, parse
from ..plan.limits import RunUsage, applied, owned, usage_of
from ..policy_file import PolicyFile
from .client import Client
from .keys import SUBJECTS

_FRESH = 3.0
_REMEMBERED = 1000


@dataclass
class _Namespace:
    """What is known of the runs of one namespace."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    read_at: float = -_FRESH
    runs: dict[str, RunUsage] = field(default_factory=dict)
    """The runs of the last list by UID."""
    granted: dict[str, tuple[float, RunUsage]] = field(default_factory=dict)
    """Runs that were let go whose status may not say so yet, and when: a list that was read before must not overlook
    them."""
    gone: dict[str, RunUsage] = field(default_factory=dict)
    """Runs with accelerators that were seen before and are deleted."""

    def others(self, uid: str) -> list[RunUsage]:
        """Return every other run; one that was let go holds its place."""
        known = self.gone | self.runs
        for each, (_, usage) in self.granted.items():
            known[each] = replace(known.get(each, usage), started=True, waiting=False)
        return [run for each, run in known.items() if each != uid]

    def take(self, read_at: float, runs: Iterable[RunUsage], now: datetime) -> None:
        """Keep a list, and what it no longer holds."""
        before, self.read_at, self.runs = self.runs, read_at, {run.uid: run for run in runs}
        for uid, (at, usage) in list(self.granted.items()):
            before.setdefault(uid, usage)
            run = self.runs.get(uid)
            if at < read_at and (run is None or not run.waiting):
                del self.granted[uid]
        for uid in before.keys() - self.runs.keys() - self.granted.keys():
            if before[uid].accelerator_seconds:
                self.gone[uid] = replace(before[uid], started=False, waiting=False, ended=before[uid].ended or now)
        while len(self.gone) > _REMEMBERED:
            del self.gone[next(iter(self.gone))]


class Limits:
    """Lets runs of a namespace go or wait, one decision at a time."""

    def __init__(self, client: Client, policy: PolicyFile, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._policy = policy
        self._clock = clock
        self._namespaces: defaultdict[str, _Namespace] = defaultdict(_Namespace)

    async def applied(self, subject: Subject, decided: Plan | Refusal) -> Plan | Refusal:
        """Return the plan, waiting when the namespace has no room for another run."""
        namespace = subject.metadata.namespace
        limit = self._policy.current.limit_of(namespace)
        if limit is None or isinstance(decided, Refusal) or owned(subject):
            return decided
        # The stored status may still name a job that was waited for: the plan knows that it has its result.
        mine = usage_of(subject, ended=None, ready=decided.waiting is None)
        if not mine.waiting:
            return decided
        known = self._namespaces[namespace]
        async with known.lock:
            if mine.uid not in known.runs or self._clock() - known.read_at >= _FRESH:
                read_at = self._clock()
                known.take(read_at, await self._list(namespace), datetime.now(UTC))
            # From here to the end nothing is awaited: two runs never decide by the same state.
            result = applied(decided, limit, mine, known.others(mine.uid), datetime.now(UTC))
            if result.waiting is None:
                known.granted[mine.uid] = (self._clock(), mine)
            else:
                known.granted.pop(mine.uid, None)
        return result

    async def _list(self, namespace: str) -> list[RunUsage]:
        runs = []
        for kind in SUBJECTS:
            for manifest in await self._client.list(kind, namespace):
                run = parse(manifest)
                if not isinstance(run, Refusal) and not owned(run):
                    ended = run.status.completion_time if run.status else None
                    runs.append(usage_of(run, ended=parse_time(ended) if ended else None))
        return runs
