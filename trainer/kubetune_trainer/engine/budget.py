"""How many tokens go through the model at once, by the memory there is; the optimiser step stays what it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kubetune_api.training import Toggle, TrainingSpec

from ..errors import OutOfMemory
from .batches import Examples, MicroBatch, micro_batch, rows

#: Below this matrix products no longer fill the machine; above it caches no longer hold what they should.
PREFERRED = {"cpu": 2048, "cuda": 16_384}
LEAST = 256
#: Bytes that an activation of one hidden unit leaves for the backward pass of a layer, in bf16; twice that in fp32.
_BYTES_PER_UNIT = 49.0
_SHARE = 0.9
_RUNTIME_BYTES = 2**30


@dataclass(frozen=True)
class Budget:
    """What fits."""

    tokens: int
    """tokens of a micro-batch; a longer example gets one of its own."""
    checkpointing: bool
    """checkpointing: activations are computed again in the backward pass."""


def work_out(
    training: TrainingSpec, config: Mapping[str, Any], longest: int, free_bytes: int | None, dtype_bytes: int, kind: str
) -> Budget:
    """Return the micro-batch for `free_bytes` of memory beside weights and optimiser (None: unknown, take the best).

    With `activationCheckpointing: Auto` activations are computed again only when the longest example would not fit.
    """
    shape = config.get("text_config") or config
    width = shape.get("hidden_size") or shape.get("n_embd") or 0
    layers = shape.get("num_hidden_layers") or shape.get("n_layer") or 0
    unit = width * dtype_bytes / 2
    kept, recomputed = _BYTES_PER_UNIT * unit * layers, (2 * layers + _BYTES_PER_UNIT) * unit
    room = None if free_bytes is None else max(0.0, _SHARE * free_bytes - _RUNTIME_BYTES)
    toggle = training.activation_checkpointing
    fits = room is None or longest * kept <= room
    checkpointing = toggle is Toggle.ON or (toggle is Toggle.AUTO and not fits)
    cost = recomputed if checkpointing else kept
    affordable = PREFERRED[kind] if room is None or not cost else int(room / cost)
    tokens = max(LEAST, min(PREFERRED[kind], affordable))
    return Budget(min(tokens, training.global_batch_tokens or tokens), checkpointing)


def divided(budget: Budget, divisor: int, longest: int, toggle: Toggle) -> Budget:
    """Return a budget of tokens divided after an attempt ran out of memory; the batch of a step stays what it is.

    The quotient is rounded down. Examples are never cut: one that is longer than it has a micro-batch of its own, and
    where that is so, activations are computed again in the backward pass unless `activationCheckpointing: Off`.
    """
    if divisor == 1:
        return budget
    tokens = max(1, budget.tokens // divisor)
    return Budget(tokens, budget.checkpointing or (toggle is not Toggle.OFF and tokens < longest))


def rehearse(backward: Callable[[MicroBatch], None], examples: Examples, tokens: int, device: torch.device) -> int:
    """Return the micro-batch that the device really holds: the fullest row is tried, and halved while it does not fit.

    Raises:
        OutOfMemory: not even one example fits.
    """
    while True:
        try:
            backward(_fullest(examples, tokens, device))
            return tokens
        except torch.OutOfMemoryError as error:
            if tokens <= LEAST:
                raise OutOfMemory(
                    "the accelerator's memory does not hold one example; lower spec.training.sequenceLength, set "
                    "activationCheckpointing: On, or ask for an accelerator with more memory"
                ) from error
        tokens = max(LEAST, tokens // 2)
        torch.cuda.empty_cache()


def _fullest(examples: Examples, tokens: int, device: torch.device) -> MicroBatch:
    """Return the row that takes the most memory: the longest examples, as many as the budget holds."""
    lengths = examples.lengths
    longest = np.argsort(-lengths, kind="stable")
    count = max(1, int(np.searchsorted(np.cumsum(lengths[longest]), tokens, side="right")))
    return micro_batch(examples, rows(lengths, longest[:count], max(tokens, int(lengths.max())))[0], device)
