"""From a micro-batch to the summed loss over its supervised tokens."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import attention
from .batches import MicroBatch
from .loss import tiled_cross_entropy
from .segments import Segments

#: Of the exactness check at the start, by dtype: packed against alone, as a share of the largest value.
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.08, torch.float16: 0.02}


class Forward:
    """The loss of a causal language model, computed where there is something to learn only."""

    def __init__(self, model: Any, *, packed: bool) -> None:
        self.model = model
        self.packed = packed
        """packed: several examples in a row; otherwise each row is one example under the model's own attention."""
        self._head = _plain_head(model)

    def loss(self, batch: MicroBatch) -> Tensor:
        """Return the summed cross-entropy of a micro-batch, fp32."""
        if self._head is None:
            return self._loss_by_logits(batch)
        hidden = self.model.base_model(**self._inputs(batch)).last_hidden_state[0]
        return tiled_cross_entropy(hidden.index_select(0, batch.sources), self._head.weight, batch.labels)

    def _loss_by_logits(self, batch: MicroBatch) -> Tensor:
        """Take the model's own logits: its head does more than a matrix product (scaling, soft-capping, bias)."""
        logits = self.model(**self._inputs(batch), logits_to_keep=batch.sources).logits[0]
        return F.cross_entropy(logits.float(), batch.labels, reduction="sum")

    def _inputs(self, batch: MicroBatch) -> dict[str, Any]:
        inputs = {"input_ids": batch.ids, "position_ids": batch.segments.positions, "use_cache": False}
        return inputs | ({"segments": batch.segments} if self.packed else {})


def _plain_head(model: Any) -> nn.Linear | None:
    """Return the output projection when logits are its product with the last hidden state and nothing else."""
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear) or type(head) is not nn.Linear or head.bias is not None:
        return None
    ids = torch.arange(4, device=head.weight.device).unsqueeze(0) % head.weight.shape[0]
    with torch.no_grad(), _evaluating(model), attention.native(model):
        logits = model(input_ids=ids, use_cache=False).logits
        hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        return head if torch.allclose(F.linear(hidden, head.weight), logits) else None


def pack(model: Any) -> bool:
    """Make a model attend within the segments of packed rows; returns whether it can, and leaves it alone if not."""
    attention.register()
    before = model.config._attn_implementation
    model.set_attn_implementation(attention.NAME)
    if packing_is_exact(model):
        return True
    model.set_attn_implementation(before)
    return False


def packing_is_exact(model: Any) -> bool:
    """Return whether two examples in one row come out as each of them alone under the model's own attention.

    What carries state along a row (convolutions, state spaces) or ignores the segments fails this, and so does
    attention that needs more than a causal mask.
    """
    device = model.get_input_embeddings().weight.device
    size = model.get_input_embeddings().weight.shape[0]
    parts = [(torch.arange(start, start + count) * 7 + 3) % size for start, count in ((1, 19), (50, 12))]
    row = torch.cat(parts).unsqueeze(0).to(device)
    segments = Segments(tuple(len(part) for part in parts), device)
    with torch.no_grad(), _evaluating(model):
        try:
            together = model.base_model(
                input_ids=row, position_ids=segments.positions, use_cache=False, segments=segments
            ).last_hidden_state[0]
        except (attention.UnsupportedAttention, TypeError):
            return False
        with attention.native(model):
            alone = [model.base_model(input_ids=p.unsqueeze(0).to(device), use_cache=False) for p in parts]
    expected = torch.cat([out.last_hidden_state[0] for out in alone]).float()
    error = (together.float() - expected).abs().max() / expected.abs().max()
    return bool(error < _TOLERANCE[together.dtype])


class _evaluating:
    def __init__(self, model: nn.Module) -> None:
        self._model, self._was = model, model.training

    def __enter__(self) -> None:
        self._model.eval()

    def __exit__(self, *_: object) -> None:
        self._model.train(self._was)
