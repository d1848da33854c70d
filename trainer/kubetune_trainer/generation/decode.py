"""Batched autoregressive decoding: left-padded prompts, in-place cache, finished rows leave the batch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .prefix import Prefix, shared_prefix
from .slab_cache import CausalModel, bytes_per_position, holding, slides, takes_slab

_MAX_ROWS = 64
_PREFILL_TOKENS = 4096
#: Finished rows are dropped once they are this share of the batch: dropping copies the cache.
_DROP_SHARE = 0.25


@dataclass(frozen=True)
class Decoding:
    """How answers are decoded."""

    max_new_tokens: int = 256
    stop_ids: frozenset[int] = frozenset()
    """stop_ids end an answer and are not part of it."""
    temperature: float = 0.0
    """temperature; 0 takes the likeliest token."""
    seed: int = 0
    """seed of sampling; a row's answer depends on seed and row, not on its batch."""
    cache_bytes: int = 2**30
    """cache_bytes that keys and values of a batch may take."""
    reuse_prefix: bool = True


Finished = Callable[[int, list[int]], None]
"""Called with a row's index and its new tokens as soon as the row is finished."""


@torch.inference_mode()
def generate(
    model: CausalModel,
    prompts: Sequence[Sequence[int]],
    decoding: Decoding,
    on_finished: Finished | None = None,
    pulse: Callable[[], None] = lambda: None,
) -> list[list[int]]:
    """Return the new tokens of each prompt, without the stop token.

    Prompts of like length run together. The answer of a row is the same in any batch, up to rounding. `pulse` is called
    between forward passes; it may raise to stop.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    if not takes_slab(model):
        for row, prompt in enumerate(prompts):
            pulse()
            answers[row] = _one_by_one(model, prompt, row, decoding)
            if on_finished is not None:
                on_finished(row, answers[row])
        return answers
    prefix = shared_prefix(model, prompts, use=decoding.reuse_prefix and not slides(model))
    for batch in _batches(model, prompts, prefix.length, decoding):
        for row, tokens in _Batch(model, prompts, batch, prefix, decoding).run(pulse):
            answers[row] = tokens
            if on_finished is not None:
                on_finished(row, tokens)
    return answers


def _one_by_one(model: Any, prompt: Sequence[int], row: int, decoding: Decoding) -> list[int]:
    """Decode one row of a model with recurrent state, by transformers' own means."""
    torch.manual_seed(decoding.seed * 1_000_003 + row)
    sampling = {"do_sample": True, "temperature": decoding.temperature} if decoding.temperature > 0 else {}
    stop = sorted(decoding.stop_ids)
    ids = torch.tensor([list(prompt)], device=model.device)
    whole = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=decoding.max_new_tokens,
        eos_token_id=stop or None,
        pad_token_id=stop[0] if stop else 0,
        **({"do_sample": False} | sampling),
    )
    tokens: list[int] = whole[0, len(prompt) :].tolist()
    return tokens[:-1] if tokens and tokens[-1] in decoding.stop_ids else tokens


def _batches(
    model: CausalModel, prompts: Sequence[Sequence[int]], skip: int, decoding: Decoding
) -> Iterator[list[int]]:
    """Yield row indices, longest first, bounded by cache memory and by the size of the prefill."""
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    while order:
        longest = len(prompts[order[0]])
        row_bytes = (longest + decoding.max_new_tokens) * bytes_per_position(model)
        fitting = min(decoding.cache_bytes // row_bytes, _PREFILL_TOKENS * 4 // max(1, longest - skip), _MAX_ROWS)
        # Equal batches decode faster than full ones and a small rest.
        batches = -(-len(order) // max(1, fitting))
        size = -(-len(order) // batches)
        yield order[:size]
        order = order[size:]


class _Batch:
    """One batch from prefill to its last row."""

    def __init__(
        self,
        model: CausalModel,
        prompts: Sequence[Sequence[int]],
        rows: Sequence[int],
        prefix: Prefix,
        decoding: Decoding,
    ) -> None:
        self.model, self.decoding, self.rows = model, decoding, list(rows)
        self.tokens: list[list[int]] = [[] for _ in rows]
        lengths = [len(prompts[row]) - prefix.length for row in rows]
        self.width = max(lengths)
        self.start = prefix.length
        self.seen = prefix.length + self.width
        capacity = prefix.length + self.width + decoding.max_new_tokens
        self.cache = prefix.rows(model, len(rows), capacity)
        self.ids = torch.zeros(len(rows), self.width, dtype=torch.long)
        self.mask = torch.ones(len(rows), capacity, dtype=torch.long)
        for i, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            self.ids[i, self.width - length :] = torch.tensor(list(prompts[row][prefix.length :]))
            self.mask[i, self.start : self.start + self.width - length] = 0
        self.mask = self.mask.to(model.device)
        self.next_position = torch.tensor([len(prompts[row]) for row in rows], device=model.device)
        self.draws = [_uniform(decoding.seed, row) for row in rows] if decoding.temperature > 0 else []

    def run(self, pulse: Callable[[], None]) -> Iterator[tuple[int, list[int]]]:
        """Yield (row, tokens) as rows finish."""
        active = list(range(len(self.rows)))
        logits = self._prefill()
        for step in range(self.decoding.max_new_tokens):
            chosen = self._choose(logits)
            taken = chosen.tolist()
            still = []
            for slot in active:
                if taken[slot] not in self.decoding.stop_ids:
                    self.tokens[slot].append(taken[slot])
                    still.append(slot)
                else:
                    yield self.rows[slot], self.tokens[slot]
            active = still
            if not active or step == self.decoding.max_new_tokens - 1:
                break
            if len(self.rows) - len(active) >= max(1, _DROP_SHARE * len(self.rows)):
                chosen, active = self._drop_finished(chosen, active)
            pulse()
            logits = self._step(chosen)
        for slot in active:
            yield self.rows[slot], self.tokens[slot]

    def _prefill(self) -> Tensor:
        """Run the prompts, in pieces where they are many tokens; return the logits after the last token, (rows, V)."""
        piece = max(1, _PREFILL_TOKENS // len(self.rows))
        ids = self.ids.to(self.model.device)
        positions = (self.mask.cumsum(dim=1) - 1).clamp(min=0)
        for start in range(0, self.width, piece):
            end = min(start + piece, self.width)
            whole = slice(self.start + start, self.start + end)
            logits = self._forward(ids[:, start:end], positions[:, whole], self.start + end)
        return logits

    def _step(self, chosen: Tensor) -> Tensor:
        self.seen += 1
        logits = self._forward(chosen[:, None], self.next_position[:, None], self.seen)
        self.next_position = self.next_position + 1
        return logits

    def _forward(self, ids: Tensor, positions: Tensor, seen: int) -> Tensor:
        output = self.model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=self.mask[:, :seen],
            logits_to_keep=1,
            **holding(self.model, self.cache),
        )
        logits: Tensor = output.logits[:, -1]
        return logits

    def _choose(self, logits: Tensor) -> Tensor:
        if self.decoding.temperature <= 0:
            return logits.argmax(dim=-1)
        shares = (logits.float() / self.decoding.temperature).softmax(dim=-1).cumsum(dim=-1)
        spots = torch.tensor([next(draw) for draw in self.draws], device=logits.device)
        found = torch.searchsorted(shares, (spots * shares[:, -1])[:, None], right=True)[:, 0]
        return found.clamp(max=logits.shape[-1] - 1)

    def _drop_finished(self, chosen: Tensor, active: Sequence[int]) -> tuple[Tensor, list[int]]:
        kept = torch.tensor(active, device=chosen.device)
        self.cache.keep(kept)
        self.mask, self.next_position = self.mask[kept], self.next_position[kept]
        self.rows = [self.rows[slot] for slot in active]
        self.tokens = [self.tokens[slot] for slot in active]
        self.draws = [self.draws[slot] for slot in active] if self.draws else []
        return chosen[kept], list(range(len(active)))


def _uniform(seed: int, row: int) -> Iterator[float]:
    """Yield the row's own uniform numbers."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + row) & 0x7FFF_FFFF_FFFF)
    while True:
        yield float(torch.rand((), generator=generator))
