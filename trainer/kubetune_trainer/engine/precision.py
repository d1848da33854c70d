"""What `training.precision: Auto` becomes on this machine."""

from __future__ import annotations

import torch
from kubetune_api.training import Precision


def resolve(precision: Precision, device: torch.device) -> Precision:
    """Return BF16 or FP32: Auto is BF16 where matrix units for it exist, which a CPU has with AMX only.

    Without them bf16 products on a CPU are not faster than fp32, and everything between them is slower.
    """
    if precision is not Precision.AUTO:
        return precision
    if device.type == "cuda":
        return Precision.BF16 if torch.cuda.is_bf16_supported(including_emulation=False) else Precision.FP32
    return Precision.BF16 if torch.cpu._is_amx_tile_supported() else Precision.FP32


def torch_dtype(precision: Precision) -> torch.dtype:
    """Return the dtype of weights and activations."""
    return torch.bfloat16 if precision is Precision.BF16 else torch.float32
