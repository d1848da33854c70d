"""Packing: examples into rows of a token budget, best fit, the same for the same seed and epoch.

Best-fit decreasing over windows of the shuffled order (Ding et al., 2024, arXiv:2404.10830): nearly no padding, no
example is cut, and the order stays random between windows.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

import numpy as np

_WINDOW = 4096


def pack(lengths: Sequence[int], budget: int, *, seed: int, epoch: int, shuffle: bool = True) -> list[list[int]]:
    """Return rows of example indices whose lengths sum to at most `budget` tokens.

    An example longer than the budget has a row of its own. Pure: the rows depend on the arguments alone, so a resumed
    run sees the order of the run it resumes (numpy's PCG64 is stable across platforms).
    """
    generator = np.random.Generator(np.random.PCG64([seed, epoch]))
    order = generator.permutation(len(lengths)) if shuffle else np.arange(len(lengths))
    rows: list[list[int]] = []
    for start in range(0, len(order), _WINDOW):
        rows += _best_fit(order[start : start + _WINDOW].tolist(), lengths, budget)
    if shuffle:
        rows = [rows[i] for i in generator.permutation(len(rows))]
    return rows


def _best_fit(window: list[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    rows: list[list[int]] = []
    free: list[tuple[int, int]] = []  # (tokens left, row), sorted
    for example in sorted(window, key=lambda i: -lengths[i]):
        length = int(lengths[example])
        place = bisect_left(free, (length, -1))
        if place < len(free):
            left, row = free.pop(place)
            rows[row].append(example)
        else:
            left, row = max(budget, length), len(rows)
            rows.append([example])
        if left > length:
            insort(free, (left - length, row))
    return rows
