"""The memory estimate of a training run as a table: what takes how much, and on what grounds."""

import json
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kubetune_api.fields import quantity_value
from kubetune_api.finetunejob import FineTuneJob, FineTuneJobSpec
from kubetune_api.method import ADAPTER_TUNINGS
from kubetune_operator.plan.memory import ModelShape, estimate, micro_batch_tokens

from .figures import size


def memory_table(manifest: dict[str, Any]) -> RenderableType | None:
    """Return the estimate of a FineTuneJob, or None for another kind."""
    if manifest.get("kind") != "FineTuneJob":
        return None
    spec = FineTuneJob.model_validate(manifest).spec
    shape, grounds = shape_of(spec.model.uri)
    if shape is None:
        return Text(f"No memory estimate: {grounds}.", style="dim")
    found = estimate(shape, spec.method, spec.training)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, show_footer=True)
    table.add_column("memory for training", footer="in all")
    table.add_column("estimate", justify="right", footer=size(round(found.total)))
    for part, count in found.parts.items():
        table.add_row(part, size(round(count)))
    facts = (
        f"{spec.method.tuning} of {shape.parameters / 1e6:,.0f} M parameters ({grounds}), {found.trained / 1e6:,.1f} M"
        f" trained, {micro_batch_tokens(spec.training):,} tokens at a time"
    )
    return Group(table, Text(facts, style="dim"), _fits(spec, found.total))


def _fits(spec: FineTuneJobSpec, total: float) -> Text:
    """Return whether the estimate fits what the job asks for, where that is known."""
    accelerator = spec.resources.accelerator
    if accelerator.count == 0:
        given, name = float(quantity_value(str(spec.resources.memory))), "resources.memory"
    elif accelerator.memory is not None:
        given, name = float(quantity_value(str(accelerator.memory))), "accelerator.memory"
    else:
        return Text("The job names no accelerator.memory to compare with.", style="dim")
    if total <= given:
        return Text(f"It fits {name} of {size(round(given))}.", style="green")
    adapters = "" if spec.method.tuning in ADAPTER_TUNINGS else ", or choose LoRA"
    remedy = f"lower sequenceLength or globalBatchTokens{adapters}"
    return Text(f"It does not fit {name} of {size(round(given))}: {remedy}.", style="red")


def shape_of(uri: str) -> tuple[ModelShape | None, str]:
    """Return the shape of a model and what it was taken from: its config.json, or the size in its name."""
    config = Path(uri.removeprefix("file://")) / "config.json"
    if uri.startswith("file://") and config.is_file():
        try:
            return ModelShape.from_config(json.loads(config.read_text())), "from its config.json"
        except (KeyError, ValueError):
            return None, f"{config} describes no decoder"
    shape = ModelShape.from_name(uri)
    return shape, "typical of the size in its name" if shape else "the model's name tells no size"
