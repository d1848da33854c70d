"""From a trained model to artifacts: each a folder that appears whole, with manifest, lineage and card."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from kubetune_api.conditions import Artifact
from kubetune_api.finetunejob import OutputFormat
from kubetune_api.method import LoraSpec
from kubetune_api.run import digest_of

from ..engine import durable
from ..engine.lora import LoraPlan, merge
from ..models import LocalModel
from .adapter import write_adapter
from .card import model_card
from .lineage import Origin

FOLDERS = {OutputFormat.ADAPTER: "adapter", OutputFormat.MERGED: "merged"}


def export(
    model: Any, tokenizer: Any, plan: LoraPlan | None, origin: Origin, forms: Sequence[OutputFormat], folder: Path
) -> dict[OutputFormat, Path]:
    """Write the artifacts; the model itself is merged afterwards when a merged one was asked for."""
    written: dict[OutputFormat, Path] = {}
    for form in sorted(forms):  # Adapter before Merged, which dissolves it
        if form is OutputFormat.ADAPTER:
            assert plan is not None, "the plan refuses an adapter of a tuning that has none"
            lora = origin.run.method.lora or LoraSpec()
            content = _adapter(model, plan, lora, origin.model)
        else:
            content = _merged(model, origin.model)
        written[form] = folder / FOLDERS[form]
        with durable.appearing(written[form]) as part:
            content(part)
            tokenizer.save_pretrained(part)
            (part / "lineage.json").write_text(json.dumps(origin.document(), indent=2) + "\n", encoding="utf-8")
            (part / "README.md").write_text(model_card(origin, form), encoding="utf-8")
    return written


def _adapter(model: Any, plan: LoraPlan, spec: LoraSpec, base: LocalModel) -> Callable[[Path], None]:
    return lambda folder: write_adapter(model, plan, spec, base, folder)


def _merged(model: Any, base: LocalModel) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        merge(model)
        model.to(base_dtype(base))
        model.set_attn_implementation("sdpa" if model._supports_sdpa else "eager")
        model.save_pretrained(folder)

    return write


def base_dtype(base: LocalModel) -> torch.dtype:
    """Return the dtype that the base is stored in: the merged model has the same, whatever it was trained in."""
    config = base.config
    name = config.get("dtype") or config.get("torch_dtype") or "float32"
    found = getattr(torch, str(name).removeprefix("torch."), torch.float32)
    assert isinstance(found, torch.dtype)
    return found


def artifact(form: OutputFormat, folder: Path, uri: str) -> Artifact:
    """Return the record of a written artifact: its digest is one over the names, sizes and hashes of its files."""
    files = json.loads((folder / durable.MANIFEST).read_text(encoding="utf-8"))["files"]
    size = sum(int(entry["size"]) for entry in files.values())
    return Artifact(type=form.value, uri=uri, digest=digest_of(files), size_bytes=size)
