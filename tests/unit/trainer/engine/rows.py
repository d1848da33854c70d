"""Tokenised examples in memory, for tests of the engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from kubetune_trainer.engine.batches import MicroBatch, micro_batch


class Listed:
    """Examples of random tokens; the second half of each is supervised."""

    def __init__(self, lengths: Sequence[int], vocabulary: int = 330, seed: int = 3) -> None:
        draw = np.random.default_rng(seed)
        self._tokens = [draw.integers(3, vocabulary, length).astype(np.int32) for length in lengths]
        self.lengths = np.asarray(lengths, dtype=np.int64)

    def example(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return tokens and what is supervised."""
        tokens = self._tokens[index]
        return tokens, np.arange(len(tokens)) >= len(tokens) // 2

    def row(self, *members: int) -> MicroBatch:
        """Return some examples packed into one row."""
        return micro_batch(self, members, torch.device("cpu"))
