"""Which examples make which optimiser step: a function of seed and epoch alone, so that a resume needs a number only.

    epoch    permutation(seed, epoch) of all examples
    step     a contiguous part of it: the same share of tokens (or of examples) for each step of the epoch
    rows     the step's examples spread over micro-batches of at most `budget` tokens

The first two do not know the micro-batch, so halving it after running out of memory leaves every step what it was.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .segments import Segments

Ints = NDArray[np.int64]


class Examples(Protocol):
    """Tokenised examples."""

    @property
    def lengths(self) -> Ints:
        """Tokens of each example."""

    def example(self, index: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return the token ids of an example, and which of them are to be predicted."""


@dataclass(frozen=True)
class MicroBatch:
    """Examples side by side in one row."""

    ids: Tensor
    """ids of tokens, [1, T]."""
    segments: Segments
    sources: Tensor
    """sources: positions whose hidden state predicts a supervised token, [n]."""
    labels: Tensor
    """labels: the supervised tokens, [n]."""

    @property
    def supervised(self) -> int:
        """Supervised tokens."""
        return int(self.labels.numel())


def micro_batch(examples: Examples, members: Sequence[int], device: torch.device) -> MicroBatch:
    """Return the packed row of some examples."""
    parts, masks = [], []
    for index in members:
        tokens, supervised = examples.example(index)
        mask = np.array(supervised, dtype=bool)
        mask[0] = False  # nothing in its own segment predicts the first token
        parts.append(np.asarray(tokens))
        masks.append(mask)
    ids = torch.from_numpy(np.concatenate(parts).astype(np.int64))
    places = torch.from_numpy(np.flatnonzero(np.concatenate(masks)))
    segments = Segments(tuple(len(part) for part in parts), device)
    return MicroBatch(
        ids.unsqueeze(0).to(device, non_blocking=True),
        segments,
        (places - 1).to(device, non_blocking=True),
        ids[places].to(device, non_blocking=True),
    )


@dataclass(frozen=True)
class Order:
    """The steps of a run over `lengths`."""

    lengths: Ints
    seed: int
    steps_per_epoch: int
    by_tokens: bool
    """by_tokens: steps have equal shares of the tokens; of the examples otherwise."""

    def step(self, number: int) -> Ints:
        """Return the examples of step `number`, counted from 0 over all epochs."""
        epoch, index = divmod(number, self.steps_per_epoch)
        permutation = np.random.default_rng([self.seed, epoch]).permutation(len(self.lengths))
        chosen: Ints = permutation[self._step_of(permutation) == index]
        return chosen

    def _step_of(self, permutation: Ints) -> Ints:
        """Return the step in its epoch of each place in the permutation."""
        weights = self.lengths[permutation] if self.by_tokens else np.ones(len(permutation), dtype=np.int64)
        middle = np.cumsum(weights) - weights / 2
        steps: Ints = (middle * self.steps_per_epoch / weights.sum()).astype(np.int64)
        return steps


def plan_order(lengths: Ints, seed: int, batch_tokens: int | None, batch_size: int | None) -> Order:
    """Return the order with steps of about `batch_tokens` tokens, or of `batch_size` examples."""
    if batch_size is not None:
        return Order(lengths, seed, max(1, -(-len(lengths) // batch_size)), by_tokens=False)
    assert batch_tokens is not None
    steps = max(1, round(int(lengths.sum()) / batch_tokens))
    return Order(lengths, seed, min(steps, len(lengths)), by_tokens=True)


def rows(lengths: Ints, members: Ints, budget: int, multiple: int = 1) -> list[list[int]]:
    """Spread examples over as few rows of at most `budget` tokens as balance allows (longest processing time first).

    The number of rows is a multiple of `multiple` while there are enough examples: as many for each process.
    An example longer than the budget gets a row of its own.
    """
    order = sorted(members.tolist(), key=lambda index: (-int(lengths[index]), index))
    count = multiple * max(1, -(-int(lengths[members].sum()) // (budget * multiple)))
    while True:
        spread = _balanced(lengths, order, count)
        fits = all(len(row) == 1 or sum(int(lengths[i]) for i in row) <= budget for row in spread)
        if fits or count >= len(order):
            return [sorted(row) for row in spread if row]
        count += multiple


def _balanced(lengths: Ints, order: list[int], count: int) -> list[list[int]]:
    heap = [(0, row) for row in range(count)]
    spread: list[list[int]] = [[] for _ in range(count)]
    for index in order:
        load, row = heapq.heappop(heap)
        spread[row].append(index)
        heapq.heappush(heap, (load + int(lengths[index]), row))
    return spread
