"""The adapter in PEFT's files: `adapter_config.json` and `adapter_model.safetensors`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from kubetune_api.method import LoraSpec

from ..engine.lora import LoraPlan, adapted
from ..models import LocalModel

_PREFIX = "base_model.model."


def write_adapter(model: nn.Module, plan: LoraPlan, spec: LoraSpec, base: LocalModel, folder: Path) -> None:
    """Write the adapter of a model that `engine.lora.attach` put one on."""
    from safetensors.torch import save_file

    save_file(adapter_tensors(model, plan), folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = adapter_config(model, plan, spec, base)
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def adapter_tensors(model: nn.Module, plan: LoraPlan) -> dict[str, Tensor]:
    """Return the adapter's weights under PEFT's names."""
    tensors: dict[str, Tensor] = {}
    for name, layer in adapted(model):
        tensors[f"{_PREFIX}{name}.lora_A.weight"] = layer.lora_A.detach().cpu().contiguous()
        tensors[f"{_PREFIX}{name}.lora_B.weight"] = layer.lora_B.detach().cpu().contiguous()
    for name in plan.saved:
        for inner, parameter in model.get_submodule(name).named_parameters():
            tensors[f"{_PREFIX}{name}.{inner}"] = parameter.detach().cpu().contiguous().clone()
    return tensors


def adapter_config(model: nn.Module, plan: LoraPlan, spec: LoraSpec, base: LocalModel) -> dict[str, Any]:
    """Return PEFT's configuration of the adapter."""
    hub = base.uri.startswith("hf://")
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.uri.removeprefix("hf://") if hub else str(base.folder),
        "revision": base.revision if hub else None,
        "inference_mode": True,
        "r": plan.rank,
        "lora_alpha": plan.alpha,
        "lora_dropout": plan.dropout,
        "use_rslora": spec.use_rslora,
        "bias": "none",
        "fan_in_fan_out": plan.transposed,
        "target_modules": short_targets(model, plan.targets),
        "modules_to_save": list(plan.saved) or None,
    }


def short_targets(model: nn.Module, targets: tuple[str, ...]) -> list[str]:
    """Return the last parts of the targets' names when they name the same modules, as people write them."""
    short = sorted({name.rpartition(".")[2] for name in targets})
    meant = {name for name, _ in model.named_modules() if any(name == s or name.endswith(f".{s}") for s in short)}
    return short if meant == set(targets) else list(targets)
