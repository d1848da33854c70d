"""AdamW over the trainable weights, with fp32 master copies where the weights themselves are bf16."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from kubetune_api.training import TrainingSpec

#: AdamW's own settings; the spec has no field for them (Loshchilov & Hutter, 2019, arXiv:1711.05101).
BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Optimizer:
    """Fused AdamW with gradients summed in fp32.

    A bf16 weight would swallow small updates and small gradients. Each one gets an fp32 master and an fp32 gradient;
    its bf16 gradient lives only until autograd has made it.
    """

    def __init__(self, named: Iterable[tuple[str, nn.Parameter]], training: TrainingSpec) -> None:
        self._masters: dict[str, Tensor] = {}
        self._copies: list[tuple[nn.Parameter, Tensor]] = []
        for name, parameter in named:
            if parameter.dtype == torch.float32:
                self._masters[name] = parameter
                continue
            master = parameter.detach().float()
            master.requires_grad_(True)
            self._masters[name] = master
            self._copies.append((parameter, master))
            parameter.register_post_accumulate_grad_hook(_sum_into(master))  # type: ignore[no-untyped-call]
        self.peak = float(training.learning_rate)
        self._clip = float(training.max_grad_norm)
        decay = [tensor for tensor in self._masters.values() if tensor.ndim >= 2]
        plain = [tensor for tensor in self._masters.values() if tensor.ndim < 2]
        groups = [
            {"params": decay, "weight_decay": float(training.weight_decay)},
            {"params": plain, "weight_decay": 0.0},
        ]
        filled = [group for group in groups if group["params"]]
        self._adamw = torch.optim.AdamW(filled, lr=self.peak, betas=BETAS, eps=EPSILON, fused=True)

    @property
    def parameters(self) -> int:
        """Trainable parameters."""
        return sum(tensor.numel() for tensor in self._masters.values())

    def gradients(self) -> list[Tensor]:
        """Return all gradients; one that is missing is made, of zeros."""
        for tensor in self._masters.values():
            if tensor.grad is None:
                tensor.grad = torch.zeros_like(tensor)
        return [tensor.grad for tensor in self._masters.values() if tensor.grad is not None]

    def norm(self) -> Tensor:
        """Return the global norm of the gradients, and clip them to maxGradNorm."""
        gradients = [tensor.grad for tensor in self._masters.values() if tensor.grad is not None]
        total = torch.nn.utils.get_total_norm(gradients)
        if self._clip:
            torch.nn.utils.clip_grads_with_norm_(self._masters.values(), self._clip, total)
        return total

    def step(self, share: float) -> None:
        """Update with `share` of the peak learning rate, then forget the gradients."""
        for group in self._adamw.param_groups:
            group["lr"] = self.peak * share
        self._adamw.step()
        self.forget()
        with torch.no_grad():
            if self._copies:
                torch._foreach_copy_([weight for weight, _ in self._copies], [master for _, master in self._copies])

    def forget(self) -> None:
        """Drop the gradients."""
        self._adamw.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """Return all that a resume needs: master weights and moments by name."""
        state = {f"weight/{name}": tensor.detach() for name, tensor in self._masters.items()}
        for name, tensor in self._masters.items():
            for key, value in self._adamw.state.get(tensor, {}).items():
                state[f"{key}/{name}"] = value
        return state

    @torch.no_grad()
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take back what `tensors` gave."""
        for name, master in self._masters.items():
            master.copy_(tensors[f"weight/{name}"])
            moments = {}
            for key in ("step", "exp_avg", "exp_avg_sq"):
                value = tensors.get(f"{key}/{name}")
                if value is not None:
                    moments[key] = value.to(master.device).clone()
            if moments:
                self._adamw.state[master] = moments
            else:
                self._adamw.state.pop(master, None)
        for weight, master in self._copies:
            weight.copy_(master)


def _sum_into(master: Tensor) -> Callable[[Tensor], None]:
    def hook(parameter: Tensor) -> None:
        gradient = parameter.grad
        assert gradient is not None
        if master.grad is None:
            master.grad = gradient.float()
        else:
            master.grad.add_(gradient)
        parameter.grad = None

    return hook
