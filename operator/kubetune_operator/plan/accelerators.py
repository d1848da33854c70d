"""How each vendor's nodes describe their accelerators: one table for NVIDIA, AMD and Intel.

NVIDIA: GPU Feature Discovery. AMD: node labeller of k8s-device-plugin. Intel: node feature rules of the device plugins.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from kubetune_api.fields import quantity_value
from kubetune_api.resources import Accelerator

from .plan import Refusal, bad

#: A card sold as 80 GB reports 81559 MiB: memory is compared with this share of what was asked for.
TOLERANCE = Decimal("0.95")
_GIB = 2**30
_AMD_SIZES = (8, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 288)


@dataclass(frozen=True)
class Vendor:
    """Node labels of one vendor."""

    product_label: str
    memory_label: str
    memory_unit: int | None
    """Bytes of one unit of the memory label; None when the label is text such as 64G."""


VENDORS = {
    "nvidia.com/gpu": Vendor("nvidia.com/gpu.product", "nvidia.com/gpu.memory", 2**20),
    "amd.com/gpu": Vendor("amd.com/gpu.product-name", "amd.com/gpu.vram", None),
    "gpu.intel.com/i915": Vendor("gpu.intel.com/product", "gpu.intel.com/memory.max", 1),
    "gpu.intel.com/xe": Vendor("gpu.intel.com/product", "gpu.intel.com/memory.max", 1),
}


def vendor_of(resource_name: str) -> Vendor | None:
    """Return the labels for an extended resource; NVIDIA's MIG and shared resources carry NVIDIA's labels."""
    if resource_name.startswith("nvidia.com/"):
        return VENDORS["nvidia.com/gpu"]
    return VENDORS.get(resource_name)


def refuse(accelerator: Accelerator) -> Iterator[Refusal]:
    """Refuse to choose by product or memory where no label tells them, or when no accelerator is wanted."""
    field = "spec.resources.accelerator"
    for name, value in (("product", accelerator.product), ("memory", accelerator.memory)):
        if value is None:
            continue
        if accelerator.count == 0:
            yield bad(f"{field}.{name}", "count is 0, so there is no accelerator to choose; leave it out")
        elif vendor_of(accelerator.resource_name) is None:
            problem = f"no node label is known for {accelerator.resource_name}; choose by scheduling.nodeSelector"
            yield bad(f"{field}.{name}", problem)


def match_expressions(accelerator: Accelerator) -> Iterator[dict[str, object]]:
    """Yield the node affinity expressions for product and least memory."""
    vendor = vendor_of(accelerator.resource_name)
    if accelerator.count == 0 or vendor is None:
        return
    if accelerator.product is not None:
        yield {"key": vendor.product_label, "operator": "In", "values": [accelerator.product]}
    if accelerator.memory is not None:
        yield _at_least(vendor, int(quantity_value(accelerator.memory) * TOLERANCE))


def _at_least(vendor: Vendor, size: int) -> dict[str, object]:
    if vendor.memory_unit is None:
        fitting = [f"{gib}G" for gib in _AMD_SIZES if gib * _GIB >= size]
        return {"key": vendor.memory_label, "operator": "In", "values": fitting or ["none"]}
    return {"key": vendor.memory_label, "operator": "Gt", "values": [str(max(size // vendor.memory_unit - 1, 0))]}
