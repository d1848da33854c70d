"""Cross-entropy over supervised positions only, in tiles, with the gradients computed on the way.

The logits of a micro-batch never exist as a whole: a tile of rows is multiplied with the head, turned into loss and
gradient in fp32, and dropped (the idea of Liger Kernel, arXiv:2410.10989, with plain torch operations).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

#: Bytes of one tile of fp32 logits.
TILE_BYTES = 64 * 2**20


def tiled_cross_entropy(hidden: Tensor, weight: Tensor, labels: Tensor, tile_bytes: int = TILE_BYTES) -> Tensor:
    """Return the summed cross-entropy, fp32 scalar.

    Args:
        hidden: last hidden states at supervised positions, [n, width].
        weight: output projection, [vocabulary, width]; gets a gradient only where it wants one.
        labels: the token that follows each position, [n].
        tile_bytes: memory of one tile of fp32 logits.
    """
    rows = max(1, tile_bytes // (4 * weight.shape[0]))
    loss: Tensor = _TiledCrossEntropy.apply(hidden, weight, labels, rows)  # type: ignore[no-untyped-call]
    return loss


class _TiledCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, rows: int) -> Tensor:
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if wants_weight else None
        for start in range(0, hidden.shape[0], rows):
            part, target = hidden[start : start + rows], labels[start : start + rows].unsqueeze(1)
            logits = F.linear(part, weight).float()
            spread = torch.logsumexp(logits, 1, keepdim=True)
            total += (spread - logits.gather(1, target)).sum()
            if not (wants_hidden or wants_weight):
                continue
            grad = logits.sub_(spread).exp_()
            grad.scatter_add_(1, target, grad.new_full((), -1.0).expand_as(target))
            grad = grad.to(hidden.dtype)
            if grad_hidden is not None:
                torch.mm(grad, weight, out=grad_hidden[start : start + rows])
            if grad_weight is not None:
                _accumulate(grad_weight, grad, part)
        ctx.save_for_backward(grad_hidden, None if grad_weight is None else grad_weight.to(weight.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight = ctx.saved_tensors
        return (
            None if grad_hidden is None else grad_hidden * grad.to(grad_hidden.dtype),
            None if grad_weight is None else grad_weight * grad.to(grad_weight.dtype),
            None,
            None,
        )


def _accumulate(total: Tensor, grad: Tensor, hidden: Tensor) -> None:
    if grad.dtype == torch.float32:
        total.addmm_(grad.t(), hidden)
    else:
        total += grad.t() @ hidden
