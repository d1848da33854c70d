"""The loss on validation data, in a fixed order, and what follows from it: best step and early stopping."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from kubetune_api.training import EarlyStopping

from .batches import Examples, micro_batch, rows
from .forward import Forward
from .strategy import Alone


class Validation:
    """Validation examples in rows that stay the same over the run."""

    def __init__(
        self, examples: Examples, budget: int, device: torch.device, *, packed: bool, gang: Alone | None = None
    ) -> None:
        self._examples, self._device, self._gang = examples, device, gang or Alone()
        everything = np.arange(len(examples.lengths))
        self._rows = rows(examples.lengths, everything, budget if packed else 1)

    @torch.no_grad()
    def loss(self, forward: Forward, between: Callable[[], None]) -> float:
        """Return the mean loss per supervised token; `between` is called after each row and may raise to leave."""
        model = forward.model
        training, total, count = model.training, torch.zeros((), dtype=torch.float64, device=self._device), 0
        model.eval()
        try:
            mine = self._gang.share(self._rows)
            for number in range(self._gang.rounds(self._rows)):
                if number < len(mine):
                    batch = micro_batch(self._examples, mine[number], self._device)
                    if batch.supervised:
                        total += forward.loss(batch).double()
                    count += batch.supervised
                between()
            self._gang.add([total])
            count = self._gang.count(count)
        finally:
            model.train(training)
        return float(total) / count if count else math.nan


@dataclass
class Judgement:
    """What the validation losses said so far; part of a checkpoint."""

    evaluated: int = -1
    """evaluated: the last step with a validation loss; -1 before the first."""
    loss: float | None = None
    first: float | None = None
    """first: the loss before any training."""
    best: float | None = None
    best_step: int = 0
    reference: float | None = None
    """reference: the loss that the next must undercut by minDelta to count as an improvement."""
    stale: int = 0
    """stale: evaluations in a row without improvement."""

    def add(self, step: int, loss: float, rule: EarlyStopping | None) -> bool:
        """Take a loss; returns whether it is the best so far."""
        self.evaluated, self.loss = step, loss
        self.first = loss if self.first is None else self.first
        delta = float(rule.min_delta) if rule else 0.0
        if self.reference is None or loss < self.reference - delta:
            self.reference, self.stale = loss, 0
        else:
            self.stale += 1
        if self.best is None or loss < self.best:
            self.best, self.best_step = loss, step
            return True
        return False

    def ends(self, rule: EarlyStopping | None) -> bool:
        """Return whether early stopping says that it is enough."""
        return rule is not None and self.stale >= rule.patience

    def dump(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)
