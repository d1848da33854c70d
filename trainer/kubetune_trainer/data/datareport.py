"""The data report: what was read, dropped, cut and kept, for people (Markdown) and programs (JSON)."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.durable import write_text
from .shards import Split
from .survey import Survey

_SHOWN_EXAMPLES = 3


def write_report(folder: Path, report: dict[str, Any], tokenizer: Any, train: Split) -> Path:
    """Write `data.json` and `data.md`; returns the path of the readable one."""
    report["lengths"] = _percentiles(train)
    write_text(folder / "data.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    path = folder / "data.md"
    write_text(path, _markdown(report, tokenizer, train))
    return path


def findings(survey: Survey, quarantined: int) -> dict[str, Any]:
    """Return what each check found."""
    found: dict[str, Any] = {"schema": {"rows": quarantined}}
    for name, finding in survey.findings.items():
        found[name] = {"rows": finding.count, "first": finding.places}
    found["pii"]["kinds"] = dict(survey.pii_kinds)
    if survey.near_duplicates_full:
        found["nearDuplicates"]["note"] = "only the first examples were compared: there are too many for the memory"
    return found


def _percentiles(split: Split) -> dict[str, int]:
    points = np.percentile(split.lengths, [0, 50, 90, 99, 100]) if len(split) else [0] * 5
    return {name: int(value) for name, value in zip(("min", "p50", "p90", "p99", "max"), points, strict=True)}


def _markdown(report: dict[str, Any], tokenizer: Any, train: Split) -> str:
    lengths = report["lengths"]
    lines = [
        "# Data report",
        "",
        f"{report['rows']} rows were read: {report['examples']} train the model, {report['validation']} validate it.",
        f"Training sees {report['tokens']:,} tokens, {report['supervisedTokens']:,} of them learned "
        f"({_share(report['supervisedTokens'], report['tokens'])}).",
        f"Lengths in tokens: median {lengths['p50']}, 90 % up to {lengths['p90']}, longest {lengths['max']}. "
        f"{report['truncated']} examples were cut at {report['sequenceLength']} ({report['truncatedTokens']} tokens).",
        "",
        "| check | does | rows found | the first |",
        "|---|---|---:|---|",
    ]
    for name, finding in report["checks"].items():
        first = "; ".join(finding.get("first", []))
        lines.append(f"| {name} | {report['actions'][name]} | {finding['rows']} | {first} |")
    lines += ["", "Rows that could not be used are in `data/quarantine.jsonl`, with the reason.", "", "## Examples"]
    lines += ["", "As the model sees them; what it learns to say is between « and ».", ""]
    for index in range(min(_SHOWN_EXAMPLES, len(train))):
        lines += [f"### {train.where(index)}", "", "```text", shown(tokenizer, train, index), "```", ""]
    return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "0 %"


def shown(tokenizer: Any, split: Split, index: int) -> str:
    """Return an example decoded, what is learned between guillemets."""
    ids, mask = split.example(index)
    edges = [0, *(np.flatnonzero(np.diff(mask.astype(np.int8))) + 1).tolist(), len(ids)]
    text = ""
    for start, end in pairwise(edges):
        part = tokenizer.decode(ids[start:end].tolist())
        text += f"«{part}»" if mask[start] else part
    return text
