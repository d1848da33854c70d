"""Cross-entropy in tiles is torch's cross-entropy."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from kubetune_trainer.engine.loss import tiled_cross_entropy


@pytest.mark.parametrize("tile_bytes", [4 * 50, 4 * 50 * 7, 2**26])
def test_loss_and_gradients_do_not_depend_on_the_tile(tile_bytes: int) -> None:
    draw = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(23, 16, generator=draw), torch.randn(50, 16, generator=draw)
    labels = torch.randint(0, 50, (23,), generator=draw)
    ours = [tensor.clone().requires_grad_(True) for tensor in (hidden, weight)]
    theirs = [tensor.clone().requires_grad_(True) for tensor in (hidden, weight)]
    loss = tiled_cross_entropy(*ours, labels, tile_bytes) * 0.25
    expected = F.cross_entropy(theirs[0] @ theirs[1].t(), labels, reduction="sum") * 0.25
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-5, atol=1e-5)


def test_a_frozen_head_gets_no_gradient() -> None:
    hidden = torch.randn(4, 8, requires_grad=True)
    weight = torch.randn(10, 8)
    tiled_cross_entropy(hidden, weight, torch.tensor([1, 2, 3, 4])).backward()
    assert weight.grad is None
    assert hidden.grad is not None
