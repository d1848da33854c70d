"""The paired bootstrap over independent clusters of rows, for any number of candidates and metrics at once."""

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from .measure import FloatArray, Measure

_CELLS_AT_A_TIME = 4_000_000
Key = tuple[str, str]
"""(candidate, metric)."""


def cluster_index(groups: Sequence[Hashable | None]) -> NDArray[np.intp]:
    """Return the cluster number of each row; a row without a group is a cluster of its own."""
    numbers: dict[Hashable, int] = {}
    keys: list[Hashable] = [("row", i) if group is None else ("group", group) for i, group in enumerate(groups)]
    return np.asarray([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.intp)


def cluster_sums(rows: FloatArray, clusters: NDArray[np.intp]) -> FloatArray:
    """Return rows summed by cluster, shape (clusters, k)."""
    count = int(clusters.max()) + 1 if len(clusters) else 0
    sums = np.zeros((count, rows.shape[1]))
    np.add.at(sums, clusters, rows)
    return sums


@dataclass(frozen=True)
class Draws:
    """Metric values of all candidates on the same resamples, so that their differences are paired."""

    values: dict[Key, FloatArray]
    """values, shape (resamples,), by candidate and metric."""
    clusters: int
    """clusters: independent units resampled."""


def paired_draws(
    measures: Mapping[Key, Measure], groups: Sequence[Hashable | None], *, resamples: int, seed: int
) -> Draws:
    """Return `resamples` bootstrap values of each measure (Efron 1979), clusters drawn with replacement.

    All measures see the same draws. Memory stays bounded: weights are drawn a block at a time.
    """
    clusters = cluster_index(groups)
    keys = list(measures)
    sums = [cluster_sums(measures[key].rows, clusters) for key in keys]
    ends = np.cumsum([part.shape[1] for part in sums])
    table = np.concatenate(sums, axis=1)
    blocks: dict[Key, list[FloatArray]] = {key: [] for key in keys}
    for weights in _weights(len(table), resamples, seed):
        totals = weights @ table
        for key, part in zip(keys, np.split(totals, ends[:-1], axis=1), strict=True):
            blocks[key].append(measures[key].formula(part))
    return Draws({key: np.concatenate(parts) for key, parts in blocks.items()}, len(table))


def _weights(clusters: int, resamples: int, seed: int) -> Iterator[FloatArray]:
    """Yield blocks of multinomial counts, shape (block, clusters)."""
    rng = np.random.default_rng(seed)
    block = max(1, _CELLS_AT_A_TIME // clusters)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = rng.integers(0, clusters, size=(size, clusters))
        drawn += np.arange(size)[:, None] * clusters
        counts = np.bincount(drawn.ravel(), minlength=size * clusters)
        yield counts.reshape(size, clusters).astype(np.float64)


def interval(draws: FloatArray, clusters: int, alpha: float) -> tuple[float, float]:
    """Return the expanded percentile interval of level 1 - alpha (Hesterberg 2015).

    The plain percentile interval is too narrow by sqrt((n-1)/n) * z/t; the expansion undoes that, so few clusters
    give honestly wide intervals.
    """
    if clusters < 2:
        return float("-inf"), float("inf")
    z = _expansion(clusters) * stats.t.ppf(alpha / 2, clusters - 1)
    tail = float(stats.norm.cdf(z))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def _expansion(clusters: int) -> float:
    return math.sqrt(clusters / (clusters - 1))


def p_above(draws: FloatArray, margin: float, clusters: int) -> float:
    """Return the two-sided p-value of "the difference is not above `margin`", from draws of the difference.

    Twice the share of draws at or below the margin (one counted in advance, so it is never 0), expanded as `interval`
    is: p < alpha exactly when the interval lies above the margin, but for the granularity of the draws.
    """
    if clusters < 2:
        return 1.0
    share = (int(np.count_nonzero(draws <= margin)) + 1) / (len(draws) + 1)
    t = stats.norm.ppf(min(share, 1.0)) / _expansion(clusters)
    return min(1.0, 2 * float(stats.t.cdf(t, clusters - 1)))


def p_differs(draws: FloatArray, clusters: int) -> float:
    """Return the two-sided p-value of "the difference is 0"."""
    return min(p_above(draws, 0.0, clusters), p_above(-draws, 0.0, clusters))


def minimum_detectable(draws: FloatArray, clusters: int, alpha: float, power: float = 0.8) -> float | None:
    """Return the smallest true difference found with probability `power` at level alpha (two-sided), given this spread.

    None when the draws show no spread to judge by.
    """
    spread = float(np.std(draws))
    if clusters < 2 or not spread > 0 or not math.isfinite(spread):
        return None
    quantiles: Any = stats.t.ppf([1 - alpha / 2, power], clusters - 1)
    return float(quantiles.sum()) * spread * _expansion(clusters)
