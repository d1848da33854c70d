"""Low-rank adapters (Hu et al., 2021, arXiv:2106.09685), light enough to train without importing peft.

The forward pass and the files are PEFT's: what is saved here loads with `peft.PeftModel`, and the other way round.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kubetune_api.method import LoraSpec

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
    transposed: bool = False
    """transposed: the layers keep W as [in, out], as GPT-2's do (PEFT calls it fan_in_fan_out)."""


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
    kinds = {_is_transposed(model.get_submodule(name)) for name in targets}
    if len(kinds) != 1:
        raise BadSpec(
            "spec.method.lora.targetModules: the model has no linear layers that an adapter fits on, or two kinds of "
            "them; name layers of one kind, or use tuning: Full"
        )
    root = math.sqrt(spec.rank) if spec.use_rslora else spec.rank
    dropout, scale = float(spec.dropout), spec.alpha / root
    return LoraPlan(spec.rank, spec.alpha, dropout, scale, tuple(targets), tuple(saved), kinds.pop())


def attach(model: nn.Module, plan: LoraPlan, seed: int) -> None:
    """Freeze `model` and put adapters on it, in place; A starts uniform (Kaiming), B at zero, as in PEFT."""
    model.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name in plan.targets:
        model.set_submodule(name, LoraLinear(model.get_submodule(name), plan, generator))
    for name in plan.saved:
        model.get_submodule(name).requires_grad_(True)


def merge(model: nn.Module) -> None:
    """Add each update to the weight that it sits on, and take the adapters off, in place."""
    for name, layer in list(adapted(model)):
        layer.merge()
        model.set_submodule(name, layer.base_layer)


def adapted(model: nn.Module) -> Iterable[tuple[str, LoraLinear]]:
    """Yield each adapter with the name of the module that it sits on."""
    for name, module in model.named_modules():
        if isinstance(module, LoraLinear):
            yield name, module


class LoraLinear(nn.Module):
    """A frozen linear layer and its update: x W^T + scale x A^T B^T. A and B are kept in fp32."""

    def __init__(self, linear: Any, plan: LoraPlan, generator: torch.Generator) -> None:
        super().__init__()
        self.base_layer = linear
        self.scale, self.dropout, self.transposed = plan.scale, plan.dropout, plan.transposed
        width_out, width_in = self.weight.shape
        bound = 1 / math.sqrt(width_in)  # kaiming_uniform_ with a = sqrt(5)
        down = torch.empty(plan.rank, width_in).uniform_(-bound, bound, generator=generator)
        device = linear.weight.device
        self.lora_A = nn.Parameter(down.to(device))
        self.lora_B = nn.Parameter(torch.zeros(width_out, plan.rank, device=device))

    @property
    def weight(self) -> Tensor:
        """The frozen weight, [out, in]; some architectures look at it."""
        weight: Tensor = self.base_layer.weight
        return weight.t() if self.transposed else weight

    @property
    def bias(self) -> Tensor | None:
        """The frozen bias."""
        bias: Tensor | None = self.base_layer.bias
        return bias

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output for x [..., in]."""
        if self.dropout and self.training:
            low = F.linear(F.dropout(x, self.dropout), self.lora_A.to(x.dtype))
            return F.linear(x, self.weight, self.bias) + F.linear(low, self.lora_B.to(x.dtype)) * self.scale
        product: Callable[..., Tensor] = _LoraProduct.apply
        return product(x, self.weight, self.bias, self.lora_A, self.lora_B, self.scale)

    @torch.no_grad()
    def merge(self) -> None:
        """Make the frozen weight W + scale B A; the sum is made in fp32 and rounded once."""
        self.weight.copy_(torch.addmm(self.weight.float(), self.lora_B, self.lora_A, alpha=self.scale))


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
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
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
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear) or _is_transposed(module)]


def _is_transposed(module: nn.Module) -> bool:
    return type(module).__name__ == "Conv1D" and type(module).__module__.startswith("transformers.")


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
