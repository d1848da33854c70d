"""Exact and score methods for right/wrong answers: Wilson, McNemar, Tango."""

import math

from scipy import optimize, stats

_EDGE = 1e-12


def wilson_interval(hits: int, n: int, alpha: float) -> tuple[float, float]:
    """Return the score interval of a proportion (Wilson 1927)."""
    if n == 0:
        return 0.0, 1.0
    z = float(stats.norm.ppf(1 - alpha / 2))
    share = hits / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    whole = 1 + z * z / n
    low = 0.0 if hits == 0 else (centre - half) / whole
    high = 1.0 if hits == n else (centre + half) / whole
    return low, high


def mcnemar_p(gained: int, lost: int) -> float:
    """Return the exact two-sided p-value of McNemar's test (1947): discordant pairs fall either way equally often.

    Args:
        gained: rows only the candidate got right.
        lost: rows only the other got right.
    """
    if gained + lost == 0:
        return 1.0
    return float(stats.binomtest(gained, gained + lost, 0.5).pvalue)


def _tango_statistic(gained: int, lost: int, n: int, difference: float) -> float:
    """Return the score statistic of "the paired difference of proportions is `difference`" (Tango 1998, eq. 9)."""
    linear = (2 * n - gained + lost) * difference - gained - lost
    constant = -lost * difference * (1 - difference)
    root = math.sqrt(max(linear * linear - 8 * n * constant, 0.0))
    lost_share = max((root - linear) / (4 * n), 0.0)
    variance = n * (2 * lost_share + difference * (1 - difference))
    surplus = gained - lost - n * difference
    if variance <= _EDGE:
        return 0.0 if abs(surplus) <= _EDGE else math.copysign(math.inf, surplus)
    return surplus / math.sqrt(variance)


def tango_interval(gained: int, lost: int, n: int, alpha: float) -> tuple[float, float]:
    """Return the score interval of the paired difference of proportions (Tango 1998).

    It stays honest where a bootstrap does not: with no discordant pair it is +-z^2/(n+z^2), not [0, 0].
    """
    if n == 0:
        return -1.0, 1.0
    z = float(stats.norm.ppf(1 - alpha / 2))
    difference = (gained - lost) / n

    def crossing(level: float, low: float, high: float) -> float:
        def gap(x: float) -> float:
            return max(min(_tango_statistic(gained, lost, n, x), 1e6), -1e6) - level

        if gap(low) * gap(high) > 0:
            return low if abs(gap(low)) < abs(gap(high)) else high
        return float(optimize.brentq(gap, low, high, xtol=1e-10))

    lower = -1.0 if lost == n else crossing(z, -1 + _EDGE, difference)
    upper = 1.0 if gained == n else crossing(-z, difference, 1 - _EDGE)
    return lower, upper


def tango_p_above(gained: int, lost: int, n: int, margin: float) -> float:
    """Return the two-sided p-value of "the paired difference is not above `margin`"."""
    if n == 0:
        return 1.0
    if not -1 < margin < 1:
        return float(margin >= 1)
    return min(1.0, 2 * float(stats.norm.sf(_tango_statistic(gained, lost, n, margin))))
