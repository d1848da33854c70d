"""A LoRA adapter folded into its base: W + scale B A, in place, without importing peft for the plain case."""

import json
import math
from pathlib import Path
from typing import Any

import torch

from ..errors import ModelUnavailable

#: Fields of an adapter_config.json whose presence asks for more than W + scale B A.
_UNUSUAL = (
    "use_dora",
    "fan_in_fan_out",
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "layer_replication",
    "lora_bias",
    "trainable_token_indices",
    "target_parameters",
    "alora_invocation_tokens",
    "use_qalora",
    "megatron_config",
)


def fold_adapter(model: Any, folder: Path, uri: str) -> Any:
    """Return the model with the adapter of `folder` folded into its weights; the model itself is changed.

    The sum is made in fp32 and rounded once to the weight's dtype.

    Raises:
        ModelUnavailable: the folder is no PEFT adapter, or not one of this model.
    """
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ModelUnavailable(
            f"{uri} is no adapter: its adapter_config.json cannot be read ({error}); "
            "give the folder that training wrote"
        ) from error
    weights = folder / "adapter_model.safetensors"
    if not _is_plain(config) or not weights.exists():
        return _fold_by_peft(model, folder, uri)
    _fold_plain(model, config, weights, uri)
    return model


def _is_plain(config: dict[str, Any]) -> bool:
    return (
        config.get("peft_type") == "LORA"
        and config.get("bias", "none") == "none"
        and not any(config.get(name) for name in _UNUSUAL)
    )


@torch.no_grad()
def _fold_plain(model: Any, config: dict[str, Any], weights: Path, uri: str) -> None:
    from safetensors import SafetensorError, safe_open

    rank, alpha = int(config["r"]), float(config["lora_alpha"])
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    modules = dict(model.named_modules())
    try:
        with safe_open(weights, framework="pt") as file:
            downs = [name for name in file.keys() if name.endswith(".lora_A.weight")]  # noqa: SIM118 - not a dict
            for name in downs:
                module = modules[name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")]
                down, up = file.get_tensor(name), file.get_tensor(name.replace(".lora_A.", ".lora_B."))
                weight = module.weight
                update = up.to(weight.device).float() @ down.to(weight.device).float()
                weight.copy_(weight.float().add_(update, alpha=scale))
    except KeyError as error:
        raise ModelUnavailable(
            f"{uri} has weights for {error}, which the model does not have; it was trained on another base"
        ) from error
    except (SafetensorError, OSError, RuntimeError) as error:
        raise ModelUnavailable(
            f"{uri} does not fit the model or is damaged ({str(error).splitlines()[0]}); it was trained on another base"
        ) from error
    if not downs:
        raise ModelUnavailable(f"{uri}: {weights.name} has no LoRA weights; give the folder that training wrote")


def _fold_by_peft(model: Any, folder: Path, uri: str) -> Any:
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, folder).merge_and_unload().eval()
    except (ValueError, RuntimeError, OSError, KeyError) as error:
        raise ModelUnavailable(
            f"{uri} cannot be put on the model: {str(error).splitlines()[0]}; it was trained on another base"
        ) from error
