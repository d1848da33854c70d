"""What device a run takes, and what `training.precision: Auto` becomes on it."""

from __future__ import annotations

import torch

from kubetune_api.training import Precision


def device_of(accelerators: int, number: int = 0) -> torch.device:
    """Return the accelerator when the pod was given one (of several that with a number), otherwise the CPU."""
    if not accelerators or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", number) if accelerators > 1 else torch.device("cuda")


def resolve(precision: Precision, device: torch.device) -> Precision:
    """Return BF16 or FP32: Auto is BF16 where the hardware multiplies it, FP32 where it would be emulated."""
    if precision is not Precision.AUTO:
        return precision
    if device.type == "cuda":
        return Precision.BF16 if torch.cuda.is_bf16_supported(including_emulation=False) else Precision.FP32
    return Precision.BF16 if cpu_multiplies_bfloat16() else Precision.FP32


def cpu_multiplies_bfloat16() -> bool:
    """Return whether the CPU has AMX tiles or AVX512-BF16; elsewhere bf16 products are emulated, slower than fp32."""
    return any(
        getattr(torch.cpu, name, lambda: False)() for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    )


def torch_dtype(precision: Precision) -> torch.dtype:
    """Return the dtype of weights and activations."""
    return torch.bfloat16 if precision is Precision.BF16 else torch.float32
