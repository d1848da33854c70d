"""A .gguf file is a model like any other: weights, tokenizer and chat template come out of it."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from kubetune_api.model import ModelSource
from kubetune_trainer.errors import ModelUnavailable
from kubetune_trainer.models import load_causal_lm, load_tokenizer, resolve_model
from unit.trainer import tiny


def permuted(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Lay a query or key projection out as GGUF keeps it for rotary embeddings."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)


def write_gguf(path: Path) -> torch.nn.Module:
    """Write a tiny Llama with a byte-level tokenizer, as llama.cpp's converter would; returns the model."""
    model, tokenizer = tiny.model("llama"), tiny.tokenizer()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(32)
    writer.add_block_count(2)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_dimension_count(8)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(330)
    _add_tokenizer(writer, tokenizer)
    names = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    state = model.state_dict()
    writer.add_tensor("token_embd.weight", state["model.embed_tokens.weight"].numpy())
    writer.add_tensor("output_norm.weight", state["model.norm.weight"].numpy())
    for layer in range(2):
        for name, short in names.items():
            weight = state[f"model.layers.{layer}.{name}.weight"]
            heads = {"attn_q": 4, "attn_k": 2}.get(short)
            weight = permuted(weight, heads) if heads else weight
            writer.add_tensor(f"blk.{layer}.{short}.weight", np.ascontiguousarray(weight.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: object) -> None:
    import json

    document = json.loads(tokenizer.backend_tokenizer.to_str())  # type: ignore[attr-defined]
    vocabulary = sorted(document["model"]["vocab"].items(), key=lambda entry: entry[1])
    tokens = [token for token, _ in vocabulary]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    special = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([special[0] if token.startswith("<|") else special[1] for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in document["model"]["merges"]])
    writer.add_eos_token_id(2)
    writer.add_bos_token_id(0)
    writer.add_chat_template(tiny.TEMPLATE)


def test_weights_tokenizer_and_chat_template_come_out_of_it(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    original = write_gguf(path)
    model = resolve_model(ModelSource(uri=path.as_uri()), tmp_path / "cache")
    loaded = load_causal_lm(model, dtype=torch.float32)
    ids = torch.arange(3, 40).unsqueeze(0)
    with torch.no_grad():
        torch.testing.assert_close(loaded(ids).logits, original(ids).logits, rtol=0.02, atol=0.01)  # kept in bf16
    tokenizer = load_tokenizer(model)
    assert tokenizer.chat_template == tiny.TEMPLATE
    chat = "<|im_start|>user\nsay red<|im_end|>\n"
    assert tokenizer(chat)["input_ids"] == tiny.tokenizer()(chat)["input_ids"]


def test_it_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_gguf(path)
    first = resolve_model(ModelSource(uri=path.as_uri()), tmp_path / "cache")
    written = (first.folder / "model.safetensors").stat().st_mtime_ns
    assert resolve_model(ModelSource(uri=path.as_uri()), tmp_path / "cache") == first
    assert (first.folder / "model.safetensors").stat().st_mtime_ns == written


def test_a_damaged_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(ModelUnavailable) as caught:
        resolve_model(ModelSource(uri=path.as_uri()), tmp_path / "cache")
    assert caught.value.message.startswith(f"{path.as_uri()} cannot be read as GGUF: ")
    assert not list((tmp_path / "cache").glob(".gguf-*"))
