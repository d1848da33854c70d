"""The tokens that all prompts start with (system message, examples): run once, then reused by every row."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .slab_cache import CausalModel, SlabCache, holding, new_cache, takes_slab

#: Shorter common starts are not worth a pass of their own.
_WORTH_IT = 16
_CHUNK = 1024


def common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """Return how many tokens all prompts share at their start, at least one token of each left over."""
    if len(prompts) < 2:
        return 0
    ordered = sorted(list(prompt) for prompt in prompts)
    length = min(len(prompt) for prompt in prompts) - 1
    shared = next((i for i, (a, b) in enumerate(zip(ordered[0], ordered[-1], strict=False)) if a != b), length)
    return max(0, min(shared, length))


@dataclass
class Prefix:
    """A shared start of `length` tokens and its keys and values."""

    length: int
    cache: SlabCache | None = None
    _used: SlabCache | None = None

    def rows(self, model: CausalModel, rows: int, capacity: int) -> SlabCache:
        """Return a cache for `rows` sequences of `capacity` positions in all, the prefix already in it.

        The last one is used again when it fits, so the prefix is not even copied for each batch.
        """
        used = self._used
        if used is not None and used.rows >= rows and used.capacity >= capacity:
            used.rewind(self.length)
            return used
        self._used = None
        if self.cache is None:
            cache = new_cache(model, rows, capacity)
        else:
            cache = SlabCache.after_prefix(self.cache, rows, capacity)
        self._used = cache
        return cache


@torch.inference_mode()
def shared_prefix(model: CausalModel, prompts: Sequence[Sequence[int]], *, use: bool = True) -> Prefix:
    """Return the common start of all prompts, run through the model; of length 0 where there is none to gain.

    Args:
        model: to run.
        prompts: token ids of all rows to come.
        use: False switches it off.
    """
    length = common_prefix(prompts) if use and takes_slab(model) else 0
    if length < _WORTH_IT:
        return Prefix(0)
    cache = new_cache(model, 1, length)
    ids = torch.tensor([list(prompts[0][:length])], device=model.device)
    for start in range(0, length, _CHUNK):
        part = ids[:, start : start + _CHUNK]
        positions = torch.arange(start, start + part.shape[1], device=model.device)[None]
        model(input_ids=part, position_ids=positions, logits_to_keep=1, **holding(model, cache))
    return Prefix(length, cache)
