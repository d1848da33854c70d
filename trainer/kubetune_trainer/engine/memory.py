"""Peak memory of this process, in bytes."""

from __future__ import annotations

import resource
import sys

import torch


def peak_bytes(device: torch.device) -> int:
    """Return the peak so far: of the accelerator's allocator, or of the resident set on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def free_bytes(device: torch.device, limit: int, trained: int) -> int | None:
    """Return the memory left for activations, with gradients and optimiser states set aside; None when unknown.

    Args:
        device: Where the model is.
        limit: Memory of the pod in bytes, for a CPU; 0 when unbounded.
        trained: Trainable parameters: each takes a gradient and two moments in fp32, 12 bytes, that do not exist yet.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) - 12 * trained
    return limit - peak_bytes(device) - 12 * trained if limit else None


def quantity(size: int) -> str:
    """Return bytes as a Kubernetes quantity for people, such as 812Mi or 29.4Gi."""
    return f"{size / 2**30:.1f}Gi" if size >= 2**30 else f"{size // 2**20}Mi"
