"""Leadership: replicas agree through one Lease (coordination.k8s.io/v1) which of them writes.

The rules are those of client-go's leader election, on a clock that nobody can set:

- A holder that stops renewing is given up `lease` seconds after *we* saw the Lease change for the last time. What the
  holder wrote as the time plays no part, so clocks may be wrong by hours.
- The leader counts from before it asked: its gate shuts `renew` seconds after the request that last renewed the Lease
  began. `lease - renew` is what a write that is on its way has to land before anybody else may lead.
- Every change is made to the version that was read, so that of two who try, one fails.
- A Lease that is gone may still have a leader who does not know yet: nobody makes a new one before that leader's time
  is over, or, when none was seen, before a living one would have made it again.
"""

import asyncio
import logging
import os
import random
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..errors import Conflict, NotFound, OperatorError
from .client import Client, Document
from .gate import Clock, Gate, steady

logger = logging.getLogger(__name__)

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_LONGEST_LEASE = 300


@dataclass(frozen=True)
class Timing:
    """Seconds; those that Kubernetes' own components use."""

    lease: float = 15.0
    """How long others wait for a holder that does not renew."""
    renew: float = 10.0
    """How long a leader writes without having renewed."""
    retry: float = 2.0
    """How often the leader renews; followers look twice as often."""


@dataclass
class _Seen:
    """The Lease as it was last read or written."""

    version: str
    holder: str
    duration: float
    transitions: int
    at: float


class Elector:
    """Takes the Lease when it is free, renews it, and keeps the gate open as long as it is held."""

    def __init__(
        self,
        client: Client,
        gate: Gate,
        name: str,
        namespace: str,
        identity: str,
        timing: Timing | None = None,
        clock: Clock = steady,
    ) -> None:
        self._client = client
        self._gate = gate
        self._name = name
        self._namespace = namespace
        self.identity = f"{identity}_{secrets.token_hex(4)}"
        self._timing = timing or Timing()
        self._clock = clock
        self._seen: _Seen | None = None
        self._missing_since: float | None = None
        self.leads = False
        """Whether this replica led when it looked last; the gate knows whether it still does."""

    async def run(self, started: Callable[[], None], stopped: Callable[[], None]) -> None:
        """Lead or follow until cancelled; tells when one becomes the other."""
        while True:
            renewed = await self.step()
            leads = self._gate.remaining() > 0
            if leads != self.leads:
                self.leads = leads
                logger.info("%s %s", self.identity, "leads" if leads else "no longer leads: it writes nothing")
                (started if leads else stopped)()
            await asyncio.sleep(self._pause(renewed))

    async def step(self) -> bool:
        """Try once to take or renew the Lease; return whether that succeeded. The gate follows."""
        began, limit = self._clock(), self._timing.renew / 2
        if (remaining := self._gate.remaining()) > 0:
            limit = min(limit, remaining)
        try:
            async with asyncio.timeout(limit):
                held = await self._try()
        except (OperatorError, TimeoutError) as error:
            # Nothing is known: a leader leads on until its time is over.
            logger.warning("lease %s/%s: %s", self._namespace, self._name, error or "no answer in time")
            return False
        if held:
            self._gate.open(began + self._timing.renew)
        else:
            self._gate.close()
        return held

    async def release(self) -> None:
        """Give the Lease back, after the last write; the next leader need not wait for it to run out."""
        self._gate.close()
        self.leads = False
        try:
            async with asyncio.timeout(self._timing.retry / 2):
                self._note(await self._client.get("Lease", self._namespace, self._name))
                if self._seen is not None and self._seen.holder == self.identity:
                    free = {**self._spec(), "holderIdentity": "", "leaseDurationSeconds": 1}
                    await self._write(self._seen.version, free)
        except (OperatorError, TimeoutError) as error:
            logger.info("the lease could not be given back, and runs out by itself: %s", error or "no answer in time")

    def _pause(self, renewed: bool) -> float:
        if renewed:
            return self._timing.retry
        pause = self._timing.retry / 2 * random.uniform(0.8, 1.2)
        remaining = self._gate.remaining()
        return min(pause, remaining) if remaining > 0 else pause

    async def _try(self) -> bool:
        if self._gate.remaining() > 0 and self._seen is not None:
            try:
                await self._write(self._seen.version, self._spec())
            except (Conflict, NotFound) as error:
                logger.info("lease %s/%s was changed by another: %s", self._namespace, self._name, error)
            else:
                return True
        try:
            self._note(await self._client.get("Lease", self._namespace, self._name))
        except NotFound:
            return await self._create()
        assert self._seen is not None
        return await self._take(self._seen)

    def _note(self, lease: Document) -> None:
        """Keep what a Lease says, and since when it says so."""
        version, spec = lease["metadata"]["resourceVersion"], lease.get("spec") or {}
        self._missing_since = None
        if self._seen is None or self._seen.version != version:
            told = spec.get("leaseDurationSeconds") or self._timing.lease
            duration = max(1.0, min(float(told), _LONGEST_LEASE))
            holder, transitions = spec.get("holderIdentity") or "", spec.get("leaseTransitions") or 0
            self._seen = _Seen(version, holder, duration, transitions, self._clock())

    async def _take(self, seen: _Seen) -> bool:
        mine = seen.holder == self.identity
        if seen.holder and not mine and self._clock() < seen.at + seen.duration:
            return False
        spec = self._spec()
        if not mine:
            spec |= {"acquireTime": spec["renewTime"], "leaseTransitions": seen.transitions + 1}
        await self._write(seen.version, spec)
        return True

    async def _create(self) -> bool:
        """Make the Lease, once nobody can lead by one that is gone."""
        now = self._clock()
        if self._missing_since is None:
            self._missing_since = now
        # Whoever led by it makes it again within a retry, or has stopped writing when it could not renew for so long.
        free_at = self._missing_since + self._timing.renew
        if self._seen is not None and self._seen.holder not in ("", self.identity):
            free_at = self._seen.at + self._seen.duration
        if now < free_at and self._gate.remaining() <= 0:
            return False
        spec = self._spec()
        made = await self._client.create(
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._name, "namespace": self._namespace},
                "spec": {**spec, "acquireTime": spec["renewTime"], "leaseTransitions": 0},
            }
        )
        self._note(made)
        return True

    async def _write(self, version: str, spec: Document) -> None:
        patch = {"metadata": {"resourceVersion": version}, "spec": spec}
        self._note(await self._client.merge("Lease", self._namespace, self._name, patch))

    def _spec(self) -> Document:
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self._timing.lease)),
            "renewTime": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        }


def lease_namespace(told: str) -> str:
    """Return the namespace of the Lease: as told, else the pod's own, else `default`."""
    if told:
        return told
    try:
        return _NAMESPACE_FILE.read_text(encoding="utf-8").strip() or "default"
    except OSError:
        return "default"


def own_name(told: str) -> str:
    """Return what this replica is called: as told, else the name of its host, which in a pod is the pod's."""
    return told or os.environ.get("HOSTNAME") or socket.gethostname()
