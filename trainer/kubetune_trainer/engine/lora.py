"""Low-rank adapters (Hu et al., 2021, arXiv:2106.09685), light enough to train without importing peft.

The forward pass and the files are PEFT's: what is saved here loads with `peft.PeftModel`, and the other way round.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from kubetune_api.method import LoraSpec
from torch import Tensor, nn

from ..errors import BadSpec

ALL_LINEAR = "all-linear"


@dataclass(frozen=True)
class LoraPlan:
    """Which modules get an adapter, and of which kind."""

    rank: int
    alpha: int
    dropout: float
    scale: float
    targets: tuple[str, ...]
    """targets: full module names that get an adapter."""
    saved: tuple[str, ...]
    """saved: full names of modules that are trained in full beside the adapters."""


def plan_lora(model: nn.Module, spec: LoraSpec) -> LoraPlan:
    """Return which modules of `model` get adapters.

    Raises:
        BadSpec: a target or a module to save is not in the model; the message names those that are.
    """
    linear = _linear_names(model)
    if ALL_LINEAR in spec.target_modules:
        targets = [name for name in linear if not _is_head(model, name)]
    else:
        targets = _matches(linear, spec.target_modules, "targetModules")
    modules = [name for name, module in model.named_modules() if _has_weights_of_its_own(module)]
    saved = _matches(modules, spec.modules_to_save or [], "modulesToSave")
    targets = [name for name in targets if name not in saved]
    root = math.sqrt(spec.rank) if spec.use_rslora else spec.rank
    return LoraPlan(spec.rank, spec.alpha, float(spec.dropout), spec.alpha / root, tuple(targets), tuple(saved))


def attach(model: nn.Module, plan: LoraPlan, seed: int) -> None:
    """Freeze `model` and put adapters on it, in place; A starts uniform (Kaiming), B at zero, as in PEFT."""
    model.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name in plan.targets:
        linear = model.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        model.set_submodule(name, LoraLinear(linear, plan, generator))
    for name in plan.saved:
        module = model.get_submodule(name)
        module.requires_grad_(True)


def adapted(model: nn.Module) -> Iterable[tuple[str, LoraLinear]]:
    """Yield each adapter with the name of the module that it sits on."""
    for name, module in model.named_modules():
        if isinstance(module, LoraLinear):
            yield name, module


class LoraLinear(nn.Module):
    """A frozen linear layer and its update: x W^T + scale x A^T B^T. A and B are kept in fp32."""

    def __init__(self, linear: nn.Linear, plan: LoraPlan, generator: torch.Generator) -> None:
        super().__init__()
        self.base_layer = linear
        self.scale, self.dropout = plan.scale, plan.dropout
        device = linear.weight.device
        down = torch.empty(plan.rank, linear.in_features)
        bound = 1 / math.sqrt(linear.in_features)  # kaiming_uniform_ with a = sqrt(5)
        down.uniform_(-bound, bound, generator=generator)
        self.lora_A = nn.Parameter(down.to(device))
        self.lora_B = nn.Parameter(torch.zeros(linear.out_features, plan.rank, device=device))

    @property
    def weight(self) -> Tensor:
        """The frozen weight; some architectures look at it."""
        return self.base_layer.weight

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output for x [..., in]."""
        base = self.base_layer
        if self.dropout and self.training:
            low = F.linear(F.dropout(x, self.dropout), self.lora_A.to(x.dtype))
            return F.linear(x, base.weight, base.bias) + F.linear(low, self.lora_B.to(x.dtype)) * self.scale
        out: Tensor = _LoraProduct.apply(x, base.weight, base.bias, self.lora_A, self.lora_B, self.scale)
        return out

    @torch.no_grad()
    def merged_weight(self) -> Tensor:
        """Return W + scale B A, in the dtype of W (added in fp32)."""
        weight = self.base_layer.weight
        return torch.addmm(weight.float(), self.lora_B, self.lora_A, alpha=self.scale).to(weight.dtype)


class _LoraProduct(torch.autograd.Function):
    """The layer as one node: it keeps x and x A^T only, and computes no gradient for the frozen weight."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: float
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        down_cast, up_cast = down.to(x.dtype), up.to(x.dtype)
        low = F.linear(rows, down_cast)
        out = F.linear(rows, weight, bias).addmm_(low, up_cast.t(), alpha=scale)
        ctx.save_for_backward(rows, weight, low, down_cast, up_cast)
        ctx.scale, ctx.shape = scale, x.shape
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        rows, weight, low, down, up = ctx.saved_tensors
        g = grad.reshape(-1, grad.shape[-1])
        g_low = torch.mm(g, up)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.mm(g, weight).addmm_(g_low, down, alpha=ctx.scale).view(ctx.shape)
        grad_down = torch.mm(g_low.t(), rows).float().mul_(ctx.scale)
        grad_up = torch.mm(g.t(), low).float().mul_(ctx.scale)
        return grad_x, None, None, grad_down, grad_up, None


def _linear_names(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]


def _is_head(model: nn.Module, name: str) -> bool:
    head = getattr(model, "get_output_embeddings", lambda: None)()
    return head is not None and model.get_submodule(name) is head


def _has_weights_of_its_own(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False))


def _matches(names: list[str], wanted: Iterable[str], field: str) -> list[str]:
    """Return the names that equal or end in a wanted one, as PEFT matches them."""
    found: list[str] = []
    for target in wanted:
        hits = [name for name in names if name == target or name.endswith(f".{target}")]
        if not hits:
            known = ", ".join(sorted({name.rpartition(".")[2] for name in names}))
            raise BadSpec(f"spec.method.lora.{field}: the model has no module {target}; it has {known}")
        found += [name for name in hits if name not in found]
    return found
