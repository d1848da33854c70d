"""Prometheus metrics. Labels are bounded: kinds, phases, outcomes and known reasons; never names of objects."""

import time
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ..cluster.keys import SUBJECTS, Key
from ..errors import ApiError, ApiUnreachable
from ..observe import Status
from ..observe.terminal import condition, is_terminal
from .reasons import bounded

_PHASES = ("Pending", "Preparing", "Queued", "Training", "Evaluating", "Succeeded", "Failed", "Suspended")
_RUN_BUCKETS = (10, 30, 60, 300, 900, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 3 * 86400)
_CALL_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Everything that /metrics shows."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._phases: dict[Key, str] = {}
        self._entered: dict[Key, tuple[str, float]] = {}
        self._runs = Gauge("kubetune_runs", "Runs by phase", ["kind", "phase"], registry=registry)
        for kind in SUBJECTS:
            for phase in _PHASES:
                self._runs.labels(kind, phase).set(0)
        self._finished = Counter(
            "kubetune_runs_finished", "Runs that ended", ["kind", "outcome", "reason"], registry=registry
        )
        self._duration = Histogram(
            "kubetune_run_active_seconds",
            "Active time of runs that ended",
            ["kind", "outcome"],
            buckets=_RUN_BUCKETS,
            registry=registry,
        )
        self._phase_seconds = Histogram(
            "kubetune_phase_seconds",
            "Time in a phase that was left, of runs whose entry into it this replica saw",
            ["kind", "phase"],
            buckets=_RUN_BUCKETS,
            registry=registry,
        )
        self._accelerator_seconds = Counter(
            "kubetune_accelerator_seconds",
            "Seconds times accelerators of runs that ended; what failed runs took is lost",
            ["kind", "outcome"],
            registry=registry,
        )
        self._attempts = Counter(
            "kubetune_attempts_finished", "Pods that ended", ["stage", "reason"], registry=registry
        )
        self._writes = Counter("kubetune_status_writes", "Status patches that landed", ["kind"], registry=registry)
        self._passes = Histogram(
            "kubetune_reconcile_seconds", "Time of one pass", ["kind"], buckets=_CALL_BUCKETS, registry=registry
        )
        self._errors = Counter(
            "kubetune_reconcile_errors", "Passes that failed and are retried", ["kind", "error"], registry=registry
        )
        self._calls = Counter(
            "kubetune_api_requests", "Calls to the API server", ["verb", "kind", "code"], registry=registry
        )
        self._restarts = Counter("kubetune_watch_restarts", "Restarts of the watching part", registry=registry)
        self._leader = Gauge("kubetune_leader", "1 on the replica that writes, 0 on the others", registry=registry)
        self._watch_age = Gauge(
            "kubetune_watch_age_seconds",
            "Time since a watch was opened or said something",
            ["resource"],
            registry=registry,
        )
        self.policy_valid = Gauge(
            "kubetune_policy_valid",
            "1 while the newest policy document is in force, 0 when it was rejected",
            registry=registry,
        )
        self.policy_valid.set(1)
        self.queue_depth = Gauge("kubetune_queue_depth", "Keys that wait", registry=registry)
        self.queue_oldest = Gauge("kubetune_queue_oldest_seconds", "Age of the oldest key", registry=registry)

    def see(self, key: Key, status: Status) -> None:
        """Keep the number of runs by phase."""
        self.see_phase(key, status.phase)

    def see_phase(self, key: Key, phase: str | None) -> None:
        """Keep the number of runs by phase; phases are no labels but the known ones."""
        known = phase if phase in _PHASES else "Pending"
        if self._phases.get(key) != known:
            self._move(key, known)

    def _move(self, key: Key, phase: str | None) -> None:
        if (before := self._phases.pop(key, None)) is not None:
            self._runs.labels(key.kind, before).dec()
        if phase is not None:
            self._phases[key] = phase
            self._runs.labels(key.kind, phase).inc()

    def known(self) -> set[Key]:
        """Return the keys of the runs that are counted."""
        return set(self._phases)

    def forget(self, key: Key) -> None:
        """A run is gone."""
        self._move(key, None)
        self._entered.pop(key, None)

    def count(self, key: Key, old: Status | None, new: Status) -> None:
        """Count what a status that was stored says anew."""
        self.see(key, new)
        self._writes.labels(key.kind).inc()
        known = {attempt.number for attempt in (old.attempts if old else None) or [] if attempt.ended}
        for attempt in new.attempts or []:
            if attempt.ended and attempt.number not in known:
                self._attempts.labels(attempt.stage, bounded(attempt.reason)).inc()
        self._time_phase(key, old, new)
        if is_terminal(new.conditions) and not (old and is_terminal(old.conditions)):
            self._count_end(key, new)

    def failed(self, key: Key, error: BaseException) -> None:
        """Count a pass that failed."""
        name = f"Http{error.code}" if isinstance(error, ApiError) else type(error).__name__
        self._errors.labels(key.kind, "Unreachable" if isinstance(error, ApiUnreachable) else name).inc()

    def passed(self, key: Key, seconds: float) -> None:
        """Note the time of a pass."""
        self._passes.labels(key.kind).observe(seconds)

    def called(self, verb: str, kind: str, code: int) -> None:
        """Count a call to the API server."""
        self._calls.labels(verb, kind, str(code) if code else "none").inc()

    def lead(self, leads: bool) -> None:
        """Note whether this replica leads."""
        self._leader.set(int(leads))

    def watched(self, ages: Mapping[str, float]) -> None:
        """Note how long ago each watch was heard of."""
        for resource, seconds in ages.items():
            self._watch_age.labels(resource).set(seconds)

    def restarted(self) -> None:
        """Count a restart of the watching part."""
        self._restarts.inc()

    def _time_phase(self, key: Key, old: Status | None, new: Status) -> None:
        before = old.phase if old else None
        if new.phase is None or new.phase == before:
            return
        now = time.monotonic()
        phase, since = self._entered.pop(key, ("", now))
        if before in _PHASES and phase == before:
            self._phase_seconds.labels(key.kind, before).observe(now - since)
        if not is_terminal(new.conditions):
            self._entered[key] = (new.phase, now)

    def _count_end(self, key: Key, status: Status) -> None:
        entry = condition(status.conditions, "Succeeded")
        outcome = "succeeded" if entry is not None and entry.status == "True" else "failed"
        self._finished.labels(key.kind, outcome, bounded(entry.reason if entry else None)).inc()
        self._accelerator_seconds.labels(key.kind, outcome).inc(status.accelerator_seconds or 0)
        if status.active_seconds is not None:
            self._duration.labels(key.kind, outcome).observe(status.active_seconds)
