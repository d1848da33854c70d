"""Negative log likelihood of given answers: logits only where an answer token is predicted."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from .prefix import shared_prefix
from .slab_cache import CausalModel, SlabCache, holding, takes_slab

_LOGIT_ROWS = 256


@dataclass(frozen=True)
class ScoredText:
    """Token ids of a prompt and of the answer whose likelihood is asked."""

    prompt: Sequence[int]
    """prompt: at least one token, the beginning-of-text token where there is nothing else."""
    answer: Sequence[int]


Scored = Callable[[int, float], None]
"""Called with a row's index and its nats as soon as they are known."""


@torch.inference_mode()
def answer_nats(
    model: CausalModel,
    texts: Sequence[ScoredText],
    *,
    batch_tokens: int = 2048,
    reuse_prefix: bool = True,
    on_scored: Scored | None = None,
    pulse: Callable[[], None] = lambda: None,
) -> list[float]:
    """Return the negative log likelihood of each answer given its prompt, in nats, summed over its tokens.

    Rows of like length run together, padded on the right, where causal attention ignores padding. Sequences longer
    than `batch_tokens` run in pieces, so memory does not grow with their length; only models with recurrent state run
    them whole.

    Args:
        model: to run.
        texts: prompts and answers.
        batch_tokens: padded tokens in one forward pass.
        reuse_prefix: run the common start of all prompts once only.
        on_scored: called with each row and its nats when they are known.
        pulse: called between forward passes; it may raise to stop.
    """
    cached = takes_slab(model)
    prefix = shared_prefix(model, [text.prompt for text in texts], use=reuse_prefix)
    nats = [0.0] * len(texts)
    for batch in _batches(texts, prefix.length, batch_tokens):
        ids, targets = _padded([texts[i] for i in batch], prefix.length, model.device)
        width = ids.shape[1]
        cache = prefix.rows(model, len(batch), prefix.length + _round_up(width)) if cached else None
        totals = torch.zeros(len(batch), dtype=torch.float64)
        piece = max(1, batch_tokens // len(batch)) if cached else width
        for start in range(0, width, piece):
            pulse()
            part = slice(start, start + piece)
            totals += _piece_nats(model, cache, ids[:, part], targets[:, part], prefix.length + start)
        for row, total in zip(batch, totals.tolist(), strict=True):
            nats[row] = total
            if on_scored is not None:
                on_scored(row, total)
    return nats


def _round_up(length: int, step: int = 64) -> int:
    return -(-length // step) * step


def _batches(texts: Sequence[ScoredText], skip: int, batch_tokens: int) -> Iterator[list[int]]:
    """Yield row indices, longest first, so that padded batches hold about `batch_tokens`."""
    lengths = [len(text.prompt) + len(text.answer) - skip for text in texts]
    order = sorted(range(len(texts)), key=lambda i: -lengths[i])
    while order:
        size = max(1, batch_tokens // lengths[order[0]])
        yield order[:size]
        order = order[size:]


def _padded(texts: Sequence[ScoredText], skip: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return input ids and the target of each position (-1 where none), shape (rows, longest - 1)."""
    longest = max(len(text.prompt) + len(text.answer) for text in texts) - skip - 1
    ids = torch.zeros(len(texts), longest, dtype=torch.long)
    targets = torch.full((len(texts), longest), -1)
    for row, text in enumerate(texts):
        tokens = torch.tensor([*text.prompt, *text.answer][skip:])
        first = len(text.prompt) - skip - 1
        ids[row, : len(tokens) - 1] = tokens[:-1]
        targets[row, first : len(tokens) - 1] = tokens[first + 1 :]
    return ids.to(device), targets.to(device)


def _piece_nats(model: CausalModel, cache: SlabCache | None, ids: Tensor, targets: Tensor, start: int) -> Tensor:
    """Return each row's nats over one piece of its positions, shape (rows,), float64."""
    rows, columns = (targets >= 0).nonzero(as_tuple=True)
    positions = torch.arange(start, start + ids.shape[1], device=ids.device)[None].expand_as(ids)
    with _logits_at(model, rows, columns):
        state = {"use_cache": False} if cache is None else {"position_ids": positions, **holding(model, cache)}
        output = model(input_ids=ids, **state)
    totals = torch.zeros(len(ids), dtype=torch.float64)
    if len(rows):
        losses = _token_nats(output.logits.reshape(-1, output.logits.shape[-1]), targets[rows, columns])
        totals.index_add_(0, rows.cpu(), losses)
    return totals


@contextmanager
def _logits_at(model: CausalModel, rows: Tensor, columns: Tensor) -> Iterator[None]:
    """Let the output layer see only the chosen positions, whatever the model does with logits afterwards."""

    def choose(_: torch.nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        hidden = inputs[0]
        chosen = hidden[rows, columns] if len(rows) else hidden[0, :1]
        return (chosen[None], *inputs[1:])

    handle = model.get_output_embeddings().register_forward_pre_hook(choose)
    try:
        yield
    finally:
        handle.remove()


def _token_nats(logits: Tensor, targets: Tensor) -> Tensor:
    """Return -log softmax(logits)[target], shape (n,), float64 on the CPU; fp32 inside, a tile at a time."""
    parts = []
    for start in range(0, len(targets), _LOGIT_ROWS):
        tile = logits[start : start + _LOGIT_ROWS].float()
        chosen = tile.gather(1, targets[start : start + _LOGIT_ROWS, None])[:, 0]
        parts.append((tile.logsumexp(dim=-1) - chosen).double().cpu())
    return torch.cat(parts)
