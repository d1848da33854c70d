"""Candidates compared on one task: a value with interval each, and paired differences."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from . import bootstrap, proportions
from .bootstrap import Draws
from .holm import holm
from .measure import FloatArray, Measure

#: Below this many independent examples no difference is called significant: the methods are not to be trusted there.
ENOUGH = 10


@dataclass(frozen=True)
class Estimate:
    """A value with its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """Candidate minus versus on one metric, paired by row."""

    candidate: str
    versus: str
    delta: float
    low: float
    high: float
    p_value: float
    method: str
    detectable: float | None
    """detectable: the smallest true difference that this many rows would find 4 times in 5."""
    p_adjusted: float = 1.0
    """p_adjusted over the comparisons of its family (Holm)."""


@dataclass(frozen=True)
class MetricComparison:
    """One metric of one task over all candidates."""

    task: str
    metric: str
    higher_is_better: bool
    n: int
    clusters: int
    estimates: dict[str, Estimate]
    differences: list[Difference]
    signature: str = ""
    measures: Mapping[str, Measure] = field(default_factory=dict, repr=False)
    draws: Draws | None = field(default=None, repr=False)

    @property
    def enough(self) -> bool:
        """Whether there are enough independent examples to call anything significant."""
        return self.clusters >= ENOUGH

    @property
    def independent(self) -> bool:
        """Whether each row is a cluster of its own."""
        return self.clusters == self.n

    def sign(self) -> int:
        """Return 1 when more is better, -1 when less is."""
        return 1 if self.higher_is_better else -1

    def difference(self, candidate: str, versus: str) -> Difference | None:
        """Return the difference of a pair, or None when it was not compared."""
        return next((d for d in self.differences if (d.candidate, d.versus) == (candidate, versus)), None)

    def gain_p(self, candidate: str, versus: str, margin: float) -> float:
        """Return the two-sided p-value of "candidate is not better than versus by more than `margin`".

        Right/wrong answers on independent rows: exact McNemar at margin 0, Tango's score test elsewhere. All else:
        the paired bootstrap. With too few examples it is 1.
        """
        if not self.enough or self.draws is None:
            return 1.0
        if self._exact():
            gained, lost, n = discordant(self.measures[candidate], self.measures[versus])
            if margin == 0:
                return proportions.mcnemar_p(gained, lost) if gained > lost else 1.0
            return proportions.tango_p_above(gained, lost, n, margin)
        gain = self.sign() * self._delta_draws(candidate, versus)
        return bootstrap.p_above(gain, margin, self.clusters)

    def _exact(self) -> bool:
        return self.independent and all(measure.binary for measure in self.measures.values())

    def _delta_draws(self, candidate: str, versus: str) -> FloatArray:
        assert self.draws is not None
        return self.draws.values[candidate, self.metric] - self.draws.values[versus, self.metric]

    def compared(self, candidate: str, versus: str, alpha: float) -> Difference:
        """Return the paired difference of two candidates."""
        draws = self._delta_draws(candidate, versus)
        delta = self.estimates[candidate].value - self.estimates[versus].value
        detectable = bootstrap.minimum_detectable(draws, self.clusters, alpha)
        if self._exact():
            gained, lost, n = discordant(self.measures[candidate], self.measures[versus])
            low, high = proportions.tango_interval(gained, lost, n, alpha)
            p_value, method = proportions.mcnemar_p(gained, lost), "exact McNemar, Tango interval"
        else:
            low, high = bootstrap.interval(draws, self.clusters, alpha)
            p_value, method = bootstrap.p_differs(draws, self.clusters), "paired bootstrap"
        p_value = p_value if self.enough else 1.0
        return Difference(candidate, versus, delta, low, high, p_value, method, detectable)


def discordant(candidate: Measure, versus: Measure) -> tuple[int, int, int]:
    """Return (rows only the candidate got right, rows only the other got right, rows)."""
    ours, theirs = candidate.rows[:, 0] > 0.5, versus.rows[:, 0] > 0.5
    return int(np.sum(ours & ~theirs)), int(np.sum(theirs & ~ours)), len(ours)


def compare_task(
    task: str,
    measures: Mapping[str, Sequence[Measure]],
    groups: Sequence[Hashable | None],
    pairs: Sequence[tuple[str, str]],
    *,
    alpha: float,
    resamples: int,
    seed: int,
) -> list[MetricComparison]:
    """Compare candidates on every metric of a task.

    Args:
        task: name of the task.
        measures: each candidate's measures, all on the same rows in the same order.
        groups: source document of each row, or None.
        pairs: (candidate, versus) to compare.
        alpha: 1 - level of the intervals.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    flat = {(name, measure.name): measure for name, listed in measures.items() for measure in listed}
    draws = bootstrap.paired_draws(flat, groups, resamples=resamples, seed=seed)
    metrics = [measure.name for measure in next(iter(measures.values()))]
    compared = []
    for metric in metrics:
        by_name = {name: flat[name, metric] for name in measures}
        any_measure = next(iter(by_name.values()))
        comparison = MetricComparison(
            task=task,
            metric=metric,
            higher_is_better=any_measure.higher_is_better,
            n=len(groups),
            clusters=draws.clusters,
            estimates={name: _estimate(name, by_name[name], draws, len(groups), alpha) for name in by_name},
            differences=[],
            signature=any_measure.signature,
            measures=by_name,
            draws=draws,
        )
        differences = [comparison.compared(candidate, versus, alpha) for candidate, versus in pairs]
        compared.append(replace(comparison, differences=differences))
    return compared


def _estimate(name: str, measure: Measure, draws: Draws, n: int, alpha: float) -> Estimate:
    value = measure.value()
    if measure.binary and draws.clusters == n:
        low, high = proportions.wilson_interval(round(float(measure.rows[:, 0].sum())), n, alpha)
    else:
        low, high = bootstrap.interval(draws.values[name, measure.name], draws.clusters, alpha)
    return Estimate(value, low, high)


def adjust(comparisons: Sequence[MetricComparison]) -> list[MetricComparison]:
    """Return the comparisons of a family with p-values adjusted over all of them (Holm)."""
    adjusted = iter(holm([d.p_value for c in comparisons for d in c.differences]))
    return [replace(c, differences=[replace(d, p_adjusted=next(adjusted)) for d in c.differences]) for c in comparisons]
