"""Our adapters are PEFT's: forward pass, gradients, files and merged weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file

from kubetune_api.method import LoraSpec
from kubetune_trainer.artifacts.adapter import write_adapter
from kubetune_trainer.engine.lora import LoraPlan, adapted, attach, merge, plan_lora
from kubetune_trainer.errors import BadSpec
from kubetune_trainer.models import LocalModel
from unit.trainer import tiny

IDS = torch.arange(3, 33).unsqueeze(0)


def adapted_model(kind: str = "llama", **lora: Any) -> tuple[Any, LoraPlan, LoraSpec]:
    model, spec = tiny.model(kind), LoraSpec(rank=4, alpha=8, **lora)
    plan = plan_lora(model, spec)
    attach(model, plan, seed=1)
    with torch.no_grad():
        for index, (_, layer) in enumerate(adapted(model)):
            layer.lora_B.normal_(std=0.1, generator=torch.Generator().manual_seed(index))
    return model, plan, spec


def written(folder: Path, kind: str = "llama", **lora: Any) -> Any:
    model, plan, spec = adapted_model(kind, **lora)
    folder.mkdir()
    write_adapter(model, plan, spec, LocalModel(folder, folder.as_uri(), "1"), folder)
    return model


CASES = {
    "llama": ("llama", {}),
    "qwen3, chosen layers": ("qwen3", {"target_modules": ["q_proj", "down_proj"]}),
    "gpt2, transposed layers": ("gpt2", {}),
    "rslora": ("llama", {"use_rslora": True}),
    "one full name": ("llama", {"target_modules": ["model.layers.1.self_attn.q_proj"]}),
    "with a head trained in full": ("qwen3", {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}),
}


@pytest.mark.parametrize("case", CASES)
def test_peft_reads_the_adapter_and_gives_the_same_logits_and_gradients(case: str, tmp_path: Path) -> None:
    kind, lora = CASES[case]
    ours = written(tmp_path / "adapter", kind, **lora)
    theirs = peft.PeftModel.from_pretrained(tiny.model(kind), tmp_path / "adapter", is_trainable=True)
    for model in (ours, theirs):
        model(input_ids=IDS, labels=IDS, use_cache=False).loss.backward()
    torch.testing.assert_close(ours(input_ids=IDS).logits, theirs(input_ids=IDS).logits, rtol=1e-5, atol=1e-6)
    gradients = {
        name.replace(".default", "").removeprefix("base_model.model.").removesuffix(".weight"): parameter.grad
        for name, parameter in theirs.named_parameters()
        if parameter.requires_grad and "lora_" in name
    }
    mine = {name: parameter.grad for name, parameter in ours.named_parameters() if "lora_" in name}
    assert set(mine) == set(gradients)
    for name, gradient in mine.items():
        torch.testing.assert_close(gradient, gradients[name], rtol=1e-4, atol=1e-6)


def test_names_and_settings_are_those_that_peft_writes(tmp_path: Path) -> None:
    written(tmp_path / "ours")
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    peft.get_peft_model(tiny.model(), config).save_pretrained(tmp_path / "theirs")
    shapes = [
        {name: tensor.shape for name, tensor in load_file(tmp_path / side / "adapter_model.safetensors").items()}
        for side in ("ours", "theirs")
    ]
    assert shapes[0] == shapes[1]
    ours, theirs = (json.loads((tmp_path / side / "adapter_config.json").read_text()) for side in ("ours", "theirs"))
    assert set(ours) <= set(theirs)


def test_a_fresh_adapter_changes_nothing() -> None:
    base, model = tiny.model(), tiny.model()
    attach(model, plan_lora(model, LoraSpec()), seed=1)
    assert torch.equal(base(input_ids=IDS).logits, model(input_ids=IDS).logits)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_merged_model_gives_the_same_logits_and_has_no_adapter(kind: str) -> None:
    model, _, _ = adapted_model(kind)
    before = model(input_ids=IDS).logits
    merge(model)
    assert not list(adapted(model))
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in tiny.model(kind).named_parameters()]
    torch.testing.assert_close(model(input_ids=IDS).logits, before, rtol=1e-4, atol=1e-5)


def test_dropout_acts_in_training_only() -> None:
    model, _, _ = adapted_model(dropout="0.5")
    quiet = model.eval()(input_ids=IDS).logits
    assert torch.equal(model(input_ids=IDS).logits, quiet)
    assert not torch.equal(model.train()(input_ids=IDS).logits, quiet)


def test_refuses_a_target_that_the_model_does_not_have() -> None:
    with pytest.raises(BadSpec) as caught:
        plan_lora(tiny.model(), LoraSpec(target_modules=["c_attn"]))
    assert caught.value.message == (
        "spec.method.lora.targetModules: the model has no module c_attn; it has down_proj, gate_proj, k_proj, lm_head, "
        "o_proj, q_proj, up_proj, v_proj"
    )
