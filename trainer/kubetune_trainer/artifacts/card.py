"""The model card: `README.md` of an artifact, in the hub's form, with what is known and nothing else."""

from __future__ import annotations

import json

from kubetune_api.finetunejob import OutputFormat

from .lineage import Origin

_LOADING = {
    OutputFormat.ADAPTER: """from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

model = AutoPeftModelForCausalLM.from_pretrained(".")
tokenizer = AutoTokenizer.from_pretrained(".")""",
    OutputFormat.MERGED: """from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(".")
tokenizer = AutoTokenizer.from_pretrained(".")""",
}


def model_card(origin: Origin, form: OutputFormat) -> str:
    """Return the card of an artifact."""
    run, data = origin.run, origin.dataset
    assert run.dataset is not None, "a train stage has a dataset"
    sources = ", ".join(f"`{source.uri}`" for source in run.dataset.train)
    library = "peft" if form is OutputFormat.ADAPTER else "transformers"
    lines = [
        "---",
        f"library_name: {library}",
        f"base_model: {json.dumps(_public_name(origin))}",
        "pipeline_tag: text-generation",
        "tags: [kubetune, " + ("lora]" if form is OutputFormat.ADAPTER else "fine-tuned]"),
        "---",
        "",
        f"# {run.run.name}",
        "",
        f"`{origin.model.uri}` (revision `{origin.model.revision}`), fine-tuned with KubeTune by "
        f"{run.method.objective.value} with tuning {run.method.tuning.value}.",
        "",
        "| | |",
        "|---|---|",
        f"| data | {sources} |",
        f"| examples, tokens | {data.examples}, {data.tokens} |",
        f"| data digest | `{data.digest}` |",
        f"| optimiser steps | {origin.steps} |",
        f"| learning rate, seed | {run.training.learning_rate}, {run.training.seed} |",
        f"| precision in training | {origin.precision} |",
    ]
    if origin.loss is not None and origin.first_loss is not None:
        lines.append(f"| validation loss before, after | {origin.first_loss:.4f}, {origin.loss:.4f} |")
    lines += ["", "`lineage.json` has all settings.", "", "## Use", "", "```python", _LOADING[form], "```", ""]
    return "\n".join(lines)


def _public_name(origin: Origin) -> str:
    """Return the hub's name of the base where it has one."""
    return origin.model.uri.removeprefix("hf://")
