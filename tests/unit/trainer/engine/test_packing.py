"""A packed row gives the loss and the gradients that its examples give one by one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, FalconMambaConfig, Gemma2Config, MistralConfig, Qwen2Config

from kubetune_trainer.engine import attention
from kubetune_trainer.engine.forward import Forward, pack
from kubetune_trainer.engine.segments import Segments
from unit.trainer import tiny
from unit.trainer.engine.rows import Listed

LENGTHS = (40, 7, 7, 33, 2, 90, 12)
ARCHITECTURES = {
    "llama": lambda: tiny.config("llama"),
    "qwen3": lambda: tiny.config("qwen3"),
    "gpt2": lambda: tiny.config("gpt2"),
    "qwen2 with biases": lambda: Qwen2Config(vocab_size=330, **tiny.SIZES),
    "mistral with a window of 8": lambda: MistralConfig(vocab_size=330, sliding_window=8, **tiny.SIZES),
}


def build(config: Any, implementation: str) -> Any:
    attention.register()
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation=implementation)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(std=0.15)
    return model


def reference(model: Any, examples: Listed) -> torch.Tensor:
    """Sum the loss over single examples, with transformers' own attention and all logits."""
    total = torch.zeros(())
    for index in range(len(examples.lengths)):
        tokens, supervised = examples.example(index)
        ids = torch.from_numpy(tokens.astype("int64")).unsqueeze(0)
        labels = ids[0].clone()
        labels[~torch.from_numpy(supervised)] = -100
        labels[0] = -100
        logits = model(input_ids=ids, use_cache=False).logits[0]
        total = total + F.cross_entropy(logits[:-1], labels[1:], reduction="sum", ignore_index=-100)
    return total


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_packed_row_has_the_loss_and_gradients_of_its_examples(name: str) -> None:
    examples = Listed(LENGTHS)
    packed, plain = (build(ARCHITECTURES[name](), kind) for kind in (attention.NAME, "eager"))
    loss = Forward(packed, packed=True).loss(examples.row(*range(len(LENGTHS))))
    loss.backward()
    expected = reference(plain, examples)
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-4)
    for (label, ours), theirs in zip(packed.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(
            ours.grad, theirs.grad, rtol=1e-4, atol=1e-5 * float(theirs.grad.abs().max()), msg=label
        )


def test_the_order_of_examples_in_a_row_does_not_matter() -> None:
    examples = Listed(LENGTHS)
    forward = Forward(build(tiny.config(), attention.NAME), packed=True)
    with torch.no_grad():
        one, other = forward.loss(examples.row(0, 1, 2, 3, 4, 5, 6)), forward.loss(examples.row(6, 3, 5, 0, 2, 4, 1))
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)


def test_no_token_sees_its_neighbour_in_the_row() -> None:
    first, second = Listed(LENGTHS, seed=3), Listed(LENGTHS, seed=4)
    forward = Forward(build(tiny.config(), attention.NAME), packed=True)
    mixed = Listed(LENGTHS, seed=3)
    mixed._tokens[1:] = second._tokens[1:]
    with torch.no_grad():
        alone = forward.model.base_model(**forward._inputs(first.row(*range(7)))).last_hidden_state[0, : LENGTHS[0]]
        beside = forward.model.base_model(**forward._inputs(mixed.row(*range(7)))).last_hidden_state[0, : LENGTHS[0]]
    assert torch.equal(alone, beside)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_packing_is_found_exact_where_attention_is_causal(name: str) -> None:
    model = build(ARCHITECTURES[name](), "eager")
    assert pack(model)
    assert model.config._attn_implementation == attention.NAME


@pytest.mark.parametrize(
    "config",
    [
        FalconMambaConfig(vocab_size=330, hidden_size=16, num_hidden_layers=2, state_size=4),
        Gemma2Config(vocab_size=330, sliding_window=8, attn_logit_softcapping=5.0, **tiny.SIZES),
    ],
    ids=["a state space", "soft-capped attention"],
)
def test_packing_is_refused_where_examples_would_mix(config: Any) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    before = model.config._attn_implementation
    assert not pack(model)
    assert model.config._attn_implementation == before


@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("length", [1, 2, 17, 64])
def test_dense_attention_is_torchs_attention_in_value_and_gradient(length: int, window: int | None) -> None:
    draw = torch.Generator().manual_seed(length)
    inputs = [torch.randn(3, length, heads, 8, generator=draw, dtype=torch.float64) for heads in (4, 2, 2)]
    dense = [tensor.clone().requires_grad_(True) for tensor in inputs]
    fused = [tensor.clone().requires_grad_(True) for tensor in inputs]
    out = attention._dense(*dense, 0.3, window)
    expected = attention._fused(*fused, 0.3, window, 0.0)
    weights = torch.randn(out.shape, generator=draw, dtype=torch.float64)
    (out * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(out, expected)
    for ours, theirs in zip(dense, fused, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_segments_of_similar_length_share_a_call() -> None:
    groups = Segments((40, 7, 7, 33, 2, 90)).groups
    assert [(group.count, group.length) for group in groups] == [(1, 90), (2, 40), (3, 7)]
    assert sum(group.count * group.length if group.kept is None else len(group.kept) for group in groups) == 179


def test_a_padding_mask_is_refused_not_dropped() -> None:
    model = build(tiny.config(), attention.NAME)
    with pytest.raises(attention.UnsupportedAttention, match="not a padding mask"):
        model(input_ids=torch.ones(1, 4, dtype=torch.long), attention_mask=torch.tensor([[0, 1, 1, 1]]))
