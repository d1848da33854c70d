"""What may go wrong with a call or a watch stream, and when: rules drawn by seed, never by the order of arrival."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from chaos.harness.calls import Call, chance


@dataclass(frozen=True)
class Fault:
    """Something that happens to one call."""

    @property
    def name(self) -> str:
        """Say what it is in the journal."""
        return type(self).__name__


@dataclass(frozen=True)
class Answer(Fault):
    """The proxy answers with an error of Kubernetes in place of the API server."""

    code: int
    reason: str
    retry_after: int | None = None

    @property
    def name(self) -> str:
        """Say the code."""
        return f"Answer {self.code}"


@dataclass(frozen=True)
class LoseRequest(Fault):
    """The connection breaks before the API server has the request."""


@dataclass(frozen=True)
class LoseAnswer(Fault):
    """The API server does what it is asked; the connection breaks before the operator knows."""


@dataclass(frozen=True)
class CutAnswer(Fault):
    """The API server does what it is asked; the operator gets half of the answer."""


@dataclass(frozen=True)
class Hang(Fault):
    """No answer for a time, then the connection breaks; the API server never sees the request."""

    seconds: float


@dataclass(frozen=True)
class Delay(Fault):
    """The answer comes late, and is right."""

    seconds: float


@dataclass(frozen=True)
class RefuseWatch(Fault):
    """The watch is refused with 410: the version is too old."""


#: The Kubernetes answers to a request that may work when it is sent again.
TRANSIENT: tuple[Fault, ...] = (
    Answer(409, "Conflict"),
    Answer(429, "TooManyRequests", retry_after=1),
    Answer(500, "InternalError"),
    Answer(503, "ServiceUnavailable"),
    Hang(5.0),
)


@dataclass
class Rule:
    """Which calls a fault befalls, how probably, and how often at most."""

    fault: Fault | tuple[Fault, ...]
    matches: Callable[[Call], bool]
    probability: float = 1.0
    times: int | None = None
    """How often in all; None is without end."""
    happened: int = 0

    def draw(self, call: Call, seed: int, occurrence: int) -> Fault | None:
        """Return the fault of this call, if any."""
        if (self.times is not None and self.happened >= self.times) or not self.matches(call):
            return None
        if chance(seed, call.identity, occurrence) >= self.probability:
            return None
        self.happened += 1
        if isinstance(self.fault, Fault):
            return self.fault
        return self.fault[int(chance(seed, call.identity, occurrence, "which") * len(self.fault))]


@dataclass
class StreamFaults:
    """What befalls the events of watch streams."""

    drop: float = 0.0
    """Probability that an event is never seen."""
    duplicate: float = 0.0
    """Probability that an event comes `copies` times."""
    copies: int = 5
    reorder: float = 0.0
    """Probability that an event is held back until after the next one of the stream."""
    dropped: Callable[[str, str], bool] = lambda resource, kind: False
    """(resource, event type) -> never seen."""


@dataclass
class Faults:
    """All that may go wrong now; a scenario changes it while it runs."""

    seed: int = 0
    rules: list[Rule] = field(default_factory=list)
    streams: StreamFaults = field(default_factory=StreamFaults)
    _seen: Counter[str] = field(default_factory=Counter)

    def add(
        self,
        fault: Fault | tuple[Fault, ...],
        matches: Callable[[Call], bool],
        *,
        probability: float = 1.0,
        times: int | None = None,
    ) -> Rule:
        """Add a rule; returns it, so that it can be removed."""
        rule = Rule(fault, matches, probability, times)
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        """From now on nothing goes wrong."""
        self.rules.clear()
        self.streams = StreamFaults()

    def draw(self, call: Call) -> Fault | None:
        """Return what happens to a call."""
        self._seen[call.identity] += 1
        drawn = (rule.draw(call, self.seed, self._seen[call.identity]) for rule in self.rules)
        return next((fault for fault in drawn if fault is not None), None)

    def happens(self, probability: float, *what: object) -> bool:
        """Tell whether something of a probability happens to the thing that is described."""
        return probability > 0 and chance(self.seed, *what) < probability
