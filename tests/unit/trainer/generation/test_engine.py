"""Decoding and answer scoring: batches, prefixes and pieces give what one row alone gives."""

from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    FalconMambaConfig,
    Gemma2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
)

from kubetune_trainer.generation import decode, prefix
from kubetune_trainer.generation.answer_loss import ScoredText, answer_nats
from kubetune_trainer.generation.decode import Decoding, generate
from kubetune_trainer.generation.prefix import common_prefix, shared_prefix

SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
CONFIGS = {
    "llama": LlamaConfig(**SIZES),
    "qwen2": Qwen2Config(**SIZES),
    "mistral-sliding": MistralConfig(**SIZES, sliding_window=8),
    "gemma2-softcap": Gemma2Config(**SIZES, sliding_window=8),
    "mamba": FalconMambaConfig(vocab_size=97, hidden_size=16, num_hidden_layers=2, state_size=4),
}


def tiny(name: str) -> Any:
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(CONFIGS[name], dtype=torch.float32)
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.3)
    return model.eval()


@pytest.fixture(params=[name for name in CONFIGS if name != "mamba"])
def model(request: pytest.FixtureRequest) -> Any:
    return tiny(request.param)


def prompts(count: int, shared: int, seed: int = 1) -> list[list[int]]:
    draw = torch.Generator().manual_seed(seed)
    start = torch.randint(3, 97, (shared,), generator=draw).tolist()
    lengths = torch.randint(2, 23, (count,), generator=draw).tolist()
    return [start + torch.randint(3, 97, (length,), generator=draw).tolist() for length in lengths]


def reference_tokens(model: Any, prompt: list[int], count: int) -> list[int]:
    """Greedy decoding without cache or batch."""
    tokens: list[int] = []
    with torch.inference_mode():
        for _ in range(count):
            logits = model(input_ids=torch.tensor([prompt + tokens]), use_cache=False).logits
            tokens.append(int(logits[0, -1].argmax()))
    return tokens


def until(tokens: list[int], stop: frozenset[int]) -> list[int]:
    return tokens[: next((i for i, token in enumerate(tokens) if token in stop), len(tokens))]


def reference_nats(model: Any, text: ScoredText) -> float:
    ids = torch.tensor([[*text.prompt, *text.answer]])
    with torch.inference_mode():
        shares = model(input_ids=ids, use_cache=False).logits[0].double().log_softmax(dim=-1)
    first = len(text.prompt)
    return -sum(float(shares[i - 1, ids[0, i]]) for i in range(first, ids.shape[1]))


@pytest.mark.parametrize("shared", [0, 40])
def test_batched_greedy_answers_equal_uncached_decoding_of_each_row(model: Any, shared: int) -> None:
    rows = prompts(9, shared)
    whole = [reference_tokens(model, row, 12) for row in rows]
    stop = frozenset({whole[0][4], whole[1][9], whole[2][0]})
    expected = [until(answer, stop) for answer in whole]
    assert len({len(answer) for answer in expected}) > 1, "rows must finish at different steps"
    assert generate(model, rows, Decoding(12, stop)) == expected


def test_answers_do_not_depend_on_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = tiny("llama"), prompts(11, 30)
    whole = generate(model, rows, Decoding(10, frozenset({5})))
    monkeypatch.setattr(decode, "_MAX_ROWS", 3)
    monkeypatch.setattr(decode, "_PREFILL_TOKENS", 8)
    monkeypatch.setattr(prefix, "_CHUNK", 7)
    assert generate(model, rows, Decoding(10, frozenset({5}), cache_bytes=1)) == whole
    assert generate(model, rows, Decoding(10, frozenset({5}), reuse_prefix=False)) == whole


def test_sampled_answers_depend_on_seed_and_row_only(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = tiny("llama"), prompts(6, 0)
    first = generate(model, rows, Decoding(8, temperature=1.0, seed=3))
    assert first != generate(model, rows, Decoding(8, temperature=1.0, seed=4))
    monkeypatch.setattr(decode, "_MAX_ROWS", 1)
    assert generate(model, rows, Decoding(8, temperature=1.0, seed=3)) == first


def test_rows_are_handed_over_as_they_finish() -> None:
    model, rows = tiny("llama"), prompts(9, 0)
    seen: dict[int, list[int]] = {}
    whole = generate(model, rows, Decoding(12))
    answers = generate(model, rows, Decoding(12, frozenset({whole[3][2]})), seen.__setitem__)
    assert seen == dict(enumerate(answers))
    assert list(seen) != sorted(seen)


def test_recurrent_models_decode_and_score_by_their_own_means() -> None:
    model, rows = tiny("mamba"), prompts(3, 0)
    whole = [reference_tokens(model, row, 6) for row in rows]
    stop = frozenset({whole[0][3]})
    assert generate(model, rows, Decoding(6, stop)) == [until(answer, stop) for answer in whole]
    assert len({token for answer in whole for token in answer}) > 3
    texts = [ScoredText(row, row[::-1]) for row in rows]
    assert answer_nats(model, texts, batch_tokens=50) == pytest.approx(
        [reference_nats(model, t) for t in texts], rel=1e-5
    )


@pytest.mark.parametrize("shared", [0, 40])
@pytest.mark.parametrize("batch_tokens", [2048, 12])
def test_answer_nats_equal_those_of_each_row_alone(model: Any, shared: int, batch_tokens: int) -> None:
    rows = [ScoredText(prompt, answer) for prompt, answer in zip(prompts(7, shared), prompts(7, 0, 2), strict=True)]
    expected = [reference_nats(model, row) for row in rows]
    assert answer_nats(model, rows, batch_tokens=batch_tokens) == pytest.approx(expected, rel=1e-5)
    assert answer_nats(model, rows, batch_tokens=batch_tokens, reuse_prefix=False) == pytest.approx(expected, rel=1e-5)


def test_the_shared_prefix_is_run_once() -> None:
    model = tiny("llama")
    seen: list[int] = []
    model.register_forward_pre_hook(lambda _, __, inputs: seen.append(inputs["input_ids"].numel()), with_kwargs=True)
    rows = [ScoredText(prompt, [4, 5, 6]) for prompt in prompts(8, 50)]
    answer_nats(model, rows, batch_tokens=60)
    assert seen[0] == 50
    assert len(seen) > 3
    assert max(seen[1:]) <= 60


def test_common_prefix_leaves_a_token_of_each_prompt() -> None:
    assert common_prefix([[1, 2, 3], [1, 2, 4, 5]]) == 2
    assert common_prefix([[1, 2], [1, 2]]) == 1
    assert common_prefix([[1, 2, 3]]) == 0
    assert shared_prefix(tiny("llama"), [[1, 2, 3], [1, 2, 4]]).length == 0
