"""A metric on one candidate's rows, as additive statistics: the form that a bootstrap can resample exactly."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Formula = Callable[[FloatArray], FloatArray]
"""Maps summed statistics, shape (..., k), to metric values, shape (...)."""


@dataclass(frozen=True)
class Measure:
    """One metric of one candidate on one task.

    Corpus metrics (BLEU, F1, perplexity) are not means of row scores; all of them are functions of *sums* of row
    statistics, so resampling rows and summing again gives the exact corpus metric of the resample.
    """

    name: str
    """name in metric paths, such as rougeL."""
    rows: FloatArray
    """rows, shape (n, k): additive statistics of each row."""
    formula: Formula
    higher_is_better: bool = True
    binary: bool = False
    """binary: rows[:, 0] is 1 for a right answer and 0 for a wrong one."""
    row_scores: FloatArray | None = None
    """row_scores, shape (n,): a score for each row to sort examples by; only for people."""
    signature: str = ""
    """signature: how exactly it was computed."""

    def value(self) -> float:
        """Return the metric on all rows."""
        return float(self.formula(self.rows.sum(axis=0)))


def ratio(sums: FloatArray) -> FloatArray:
    """Return first / second statistic; 0 where there is nothing to divide by."""
    whole = sums[..., 1]
    return np.divide(sums[..., 0], whole, out=np.zeros_like(whole), where=whole > 0)


def mean_measure(name: str, scores: Sequence[float], *, binary: bool = False, signature: str = "") -> Measure:
    """Return the measure whose value is the mean of row scores."""
    column = np.asarray(scores, dtype=np.float64)
    rows = np.stack([column, np.ones_like(column)], axis=1)
    return Measure(name, rows, ratio, binary=binary, row_scores=column, signature=signature)
