"""Boundary-safe attention for packed rows, registered with transformers under the name `kubetune_packed`.

No token sees another example of its row:

    row        a a a a b b b c c c c c
    positions  0 1 2 3 0 1 2 0 1 2 3 4
    attention  [a a a a] [b b b] [c c c c c]      one causal block for each segment; no T x T mask

On CUDA one call of torch.nn.attention.varlen does it; on the CPU segments of similar length share a batched call.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .segments import Group, Segments

NAME = "kubetune_packed"
#: Up to this length bf16 products of whole score matrices beat the fused CPU kernel, which is tuned for long rows.
_DENSE_LIMIT = 256
#: What a model may ask for that plain causal attention does not do; each would change the result if it were ignored.
_REFUSED = ("softcap", "s_aux", "position_bias", "sinks")


class UnsupportedAttention(ValueError):
    """The architecture's attention is not plain causal attention over segments."""


def register() -> None:
    """Make `attn_implementation="kubetune_packed"` known to transformers; calling it again changes nothing."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, _no_mask)


@contextmanager
def native(model: Any) -> Iterator[None]:
    """Let a model attend as transformers would (sdpa where it can), for a while."""
    packed = model.config._attn_implementation
    model.set_attn_implementation("sdpa" if model._supports_sdpa else "eager")
    try:
        yield
    finally:
        model.set_attn_implementation(packed)


def _no_mask(*, attention_mask: Tensor | None = None, use_vmap: bool = False, **_: Any) -> None:
    """Build no mask: the segments say it all. Anything that only a mask could say is refused, not dropped."""
    if attention_mask is not None:
        raise UnsupportedAttention("packed rows carry segments, not a padding mask")
    if use_vmap:
        raise UnsupportedAttention("the model overlays a mask of its own on causal attention")


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    segments: Segments | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend within segments: [1, heads, T, width] (keys and values: kv heads) becomes [1, T, heads, width].

    Raises:
        UnsupportedAttention: the model needs more than causal, optionally windowed attention, or passed no segments.
    """
    _check(module, query, key, attention_mask, segments, is_causal, kwargs)
    assert segments is not None
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    window = sliding_window or getattr(module, "sliding_window", None)
    window = window if window is not None and segments.longest > window else None
    if query.is_cuda:
        return _varlen(query, key, value, segments, scale, window, dropout), None
    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    return _grouped(q, k, v, segments, scale, window, dropout).unsqueeze(0), None


def _check(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    attention_mask: Tensor | None,
    segments: Segments | None,
    is_causal: bool | None,
    kwargs: dict[str, Any],
) -> None:
    name = type(module).__name__
    if segments is None:
        raise UnsupportedAttention(f"{name} does not pass the segments of a packed row on")
    if attention_mask is not None or is_causal is False or getattr(module, "is_causal", True) is False:
        raise UnsupportedAttention(f"{name} is not causal, or has a mask of its own")
    asked = [option for option in _REFUSED if kwargs.get(option) is not None]
    if asked:
        raise UnsupportedAttention(f"{name} needs {', '.join(asked)}")
    if query.shape[0] != 1 or query.shape[2] != segments.total or key.shape[2] != segments.total:
        raise UnsupportedAttention(f"{name} reshapes the row: {tuple(query.shape)} for {segments.total} tokens")


def _varlen(
    query: Tensor, key: Tensor, value: Tensor, segments: Segments, scale: float, window: int | None, dropout: float
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    if dropout:
        raise UnsupportedAttention("variable-length attention has no dropout; set attention_dropout to 0")
    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    bounds, longest = segments.boundaries, segments.longest
    size = (-1, 0) if window is None else (window - 1, 0)
    grouped = query.shape[1] != key.shape[1]
    out = varlen_attn(q, k, v, bounds, bounds, longest, longest, scale=scale, window_size=size, enable_gqa=grouped)
    assert isinstance(out, Tensor)
    return out.unsqueeze(0)


def _grouped(
    query: Tensor, key: Tensor, value: Tensor, segments: Segments, scale: float, window: int | None, dropout: float
) -> Tensor:
    """Attend group by group; tensors are [T, heads, width]."""
    parts, places = [], []
    for group in segments.groups:
        q, k, v = (_gather(tensor, group) for tensor in (query, key, value))
        dense = q.dtype == torch.bfloat16 and group.length <= _DENSE_LIMIT and not dropout
        out = _dense(q, k, v, scale, window) if dense else _fused(q, k, v, scale, window, dropout)
        flat = out.reshape(group.count * group.length, *out.shape[2:])
        parts.append(flat if group.kept is None else flat[group.kept])
        places.append(group.rows if group.kept is None else group.rows[group.kept])
    if len(parts) == 1 and segments.groups[0].start == 0:
        return parts[0]
    result = torch.empty_like(query, memory_format=torch.contiguous_format)
    return result.index_copy(0, torch.cat(places), torch.cat(parts))


def _gather(tensor: Tensor, group: Group) -> Tensor:
    """Return the group's rows, [count, length, heads, width]."""
    if group.start is not None:
        rows = tensor[group.start : group.start + group.count * group.length]
    else:
        rows = tensor.index_select(0, group.rows)
    return rows.view(group.count, group.length, *tensor.shape[1:])


def _fused(q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None, dropout: float) -> Tensor:
    """Attend with torch's fused kernel; tensors are [count, length, heads, width]."""
    length = q.shape[1]
    mask = None if window is None or window >= length else ~hidden(length, window, q.device)
    out = F.scaled_dot_product_attention(
        q.transpose(1, 2),
        k.transpose(1, 2),
        v.transpose(1, 2),
        attn_mask=mask,
        is_causal=mask is None,
        dropout_p=dropout,
        scale=scale,
        enable_gqa=q.shape[2] != k.shape[2],
    )
    return out.transpose(1, 2)


def _dense(q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None) -> Tensor:
    """Attend with whole score matrices; tensors are [count, length, heads, width]."""
    out = _DenseAttention.apply(q, k, v, scale, window)  # type: ignore[no-untyped-call]
    assert isinstance(out, Tensor)
    return out


def hidden(length: int, window: int | None, device: torch.device | None = None) -> Tensor:
    """Return the key positions that a query must not see, bool [length, length]: the future, and beyond the window."""
    steps = torch.arange(length, device=device)
    behind = steps[:, None] - steps[None, :]
    return (behind < 0) if window is None else (behind < 0) | (behind >= window)


class _DenseAttention(torch.autograd.Function):
    """Attention by two plain matrix products, with the probabilities kept for the backward pass.

    The fused CPU kernel spends most of a short row outside its matrix products. Query heads that share a key head are
    stacked below each other, so that grouped-query attention needs no repeated keys.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None) -> Tensor:
        count, length, heads, width = query.shape
        shared = key.shape[2]
        q = query.view(count, length, shared, heads // shared, width).permute(0, 2, 3, 1, 4)
        q = q.reshape(count * shared, heads // shared * length, width)
        k, v = (t.transpose(1, 2).reshape(count * shared, length, width) for t in (key, value))
        scores = torch.bmm(q, k.transpose(1, 2)).mul_(scale)
        block = hidden(length, window).repeat(heads // shared, 1)
        probabilities = torch.softmax(scores.masked_fill_(block, float("-inf")), -1)
        out = torch.bmm(probabilities, v)
        ctx.save_for_backward(q, k, v, probabilities)
        ctx.scale, ctx.shapes = scale, (query.shape, key.shape)
        return _unstack(out, query.shape, shared)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, probabilities = ctx.saved_tensors
        (count, length, heads, width), (_, _, shared, _) = ctx.shapes
        g = grad.reshape(count, length, shared, heads // shared, width).permute(0, 2, 3, 1, 4)
        g = g.reshape(count * shared, heads // shared * length, width)
        grad_v = torch.bmm(probabilities.transpose(1, 2), g)
        grad_p = torch.bmm(g, v.transpose(1, 2))
        grad_s = torch._softmax_backward_data(grad_p, probabilities, -1, grad_p.dtype).mul_(ctx.scale)
        grad_q = torch.bmm(grad_s, k)
        grad_k = torch.bmm(grad_s.transpose(1, 2), q)
        keys = [t.view(count, shared, length, width).transpose(1, 2) for t in (grad_k, grad_v)]
        return _unstack(grad_q, ctx.shapes[0], shared), keys[0], keys[1], None, None


def _unstack(stacked: Tensor, shape: torch.Size, shared: int) -> Tensor:
    """Return [count * kv heads, group * length, width] as [count, length, heads, width]."""
    count, length, heads, width = shape
    out = stacked.view(count, shared, heads // shared, length, width)
    return out.permute(0, 3, 1, 2, 4).reshape(count, length, heads, width)
