"""`spec.resources`: cpu, memory and accelerators of a pod; requests equal limits."""

from collections.abc import Iterator

from kubetune_api.fields import quantity_value
from kubetune_api.resources import Resources
from kubetune_api.run import Compute

from . import accelerators
from .plan import Refusal, bad

_LEAST_MEMORY = 64 * 2**20


def refuse(field: str, resources: Resources) -> Iterator[Refusal]:
    """Refuse a pod too small to start, and accelerators that cannot be chosen."""
    if quantity_value(resources.cpu) <= 0:
        yield bad(f"{field}.cpu", "0 cores cannot run; give for example 4")
    if quantity_value(resources.memory) < _LEAST_MEMORY:
        yield bad(f"{field}.memory", f"{resources.memory} is too little to start in; give for example 16Gi")
    yield from accelerators.refuse(resources.accelerator)


def extended(resources: Resources) -> dict[str, int]:
    """Return the extended resources of a pod that trains or evaluates."""
    wanted = resources.accelerator
    return {wanted.resource_name: wanted.count} if wanted.count else {}


def compute(resources: Resources, *, accelerated: bool) -> Compute:
    """Return what the trainer is told of its pod."""
    return Compute(
        accelerators=resources.accelerator.count if accelerated else 0,
        nodes=resources.nodes if accelerated else 1,
        cpu=max(1, int(quantity_value(resources.cpu))),
        memory_bytes=int(quantity_value(resources.memory)),
    )
