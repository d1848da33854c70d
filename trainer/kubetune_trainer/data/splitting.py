"""The validation split: whole groups, chosen by the seed, about the fraction asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def validation_mask(groups: Sequence[int], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Return which examples are for validation, shape (n,).

    Groups are taken in an order that the seed decides until the fraction is reached; none is split, and training
    always keeps at least one. A single group cannot be split: then there is no validation data.
    """
    codes, counts = np.unique(np.asarray(groups, dtype=np.uint64), return_counts=True)
    chosen = np.zeros(len(groups), dtype=np.bool_)
    if fraction <= 0 or len(codes) < 2:
        return chosen
    wanted = max(1, round(fraction * len(groups)))
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(codes))
    sizes = counts[order]
    before = np.cumsum(sizes) - sizes
    taken = before < wanted
    # A group that overshoots by more than what is missing is left out, unless it is the first.
    taken &= (before + sizes <= wanted * 1.5) | (np.arange(len(order)) == 0)
    taken[-1] = False
    members: NDArray[np.bool_] = np.isin(np.asarray(groups, dtype=np.uint64), codes[order[taken]])
    return members
