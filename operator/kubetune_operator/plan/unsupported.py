"""The one table of fields that are in the API but not acted on yet: setting one is refused, never ignored."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .plan import NOT_SUPPORTED, Refusal

Value = Any


@dataclass(frozen=True)
class NotYet:
    """One field, the values of it that are acted on, and what to do instead."""

    path: str
    """Path below spec in the JSON form; `*` stands for every item of a list."""
    accepts: Callable[[Value], bool]
    remedy: str


def _one_of(*values: Value) -> Callable[[Value], bool]:
    return lambda value: value in values


def _absent(value: Value) -> bool:
    return value in (None, {}, [])


def _scheme(*schemes: str) -> Callable[[Value], bool]:
    return lambda uri: uri.partition("://")[0] in schemes


def _model(uri: str) -> bool:
    """A download is one file: of a model that is a .gguf file."""
    return _scheme("hf", "pvc", "s3", "file")(uri) or (
        _scheme("https")(uri) and uri.partition("?")[0].lower().endswith(".gguf")
    )


_SOURCES = _scheme("hf", "pvc", "s3", "file", "https")
_COPY = "copy it to a claim (pvc://), to hf:// or to s3://"

FINETUNE_JOB = (
    NotYet("model.uri", _model, _COPY),
    NotYet("model.trustRemoteCode", _one_of(False), "use an architecture that transformers has built in"),
    NotYet("dataset.train.*.uri", _SOURCES, _COPY),
    NotYet("dataset.validation.sources.*.uri", _SOURCES, _COPY),
    NotYet("dataset.heldOut.*.uri", _SOURCES, _COPY),
    NotYet("dataset.columns.label", _absent, "leave it out: labels are for Classification tasks of an EvalRun"),
    NotYet("dataset.columns.chosen", _absent, "leave it out: preference data needs an objective not there yet"),
    NotYet("dataset.columns.rejected", _absent, "leave it out: preference data needs an objective not there yet"),
    NotYet("dataset.stratifyBy", _absent, "give validation.sources with the shares you want"),
    NotYet("dataset.checks.pii", _one_of("Fail", "Drop", "Warn", "Off"), "use Drop, or clean the data before"),
    NotYet("dataset.checks.toxicity", _one_of("Off"), "leave it Off, and clean the data before"),
    NotYet("method.objective", _one_of("SFT"), "use SFT"),
    NotYet("method.tuning", _one_of("LoRA", "Full"), "use LoRA or Full"),
    NotYet("method.spectrum", _absent, "use tuning LoRA or Full"),
    NotYet("method.quantization", _absent, "use tuning LoRA or Full"),
    NotYet("training.compile", _one_of("Auto", "Off"), "use Auto or Off"),
    NotYet("training.optimizer", _one_of("AdamW"), "use AdamW"),
    NotYet("output.uri", _absent, "leave it out; the artifacts stay in the workspace, see status.artifacts"),
    NotYet("output.credentialsSecret", _absent, "leave it out; the artifacts stay in the workspace"),
    NotYet("output.formats.*", _one_of("Adapter", "Merged"), "write Adapter or Merged, and convert afterwards"),
    NotYet("tracking", _absent, "leave it out; the metrics are in the workspace below reports/"),
)

_EVALUATION = (
    NotYet("candidates.*.model.uri", _model, _COPY),
    NotYet("candidates.*.model.trustRemoteCode", _one_of(False), "use an architecture that transformers has"),
    NotYet("candidates.*.prompt.examples.source.uri", _SOURCES, _COPY),
    NotYet("tasks.*.dataset.uri", _SOURCES, _COPY),
    NotYet("tasks.*.type", _one_of("Generation", "Classification", "Perplexity"), "use one of these three"),
    NotYet("tasks.*.lmEval", _absent, "use a Generation, Classification or Perplexity task"),
    NotYet("tasks.*.metrics.*", lambda metric: metric != "Meteor", "use Rouge or Chrf"),
    NotYet("approval.required", _one_of(False), "leave it false, and read the report"),
    NotYet("resources.nodes", _one_of(1), "use one node"),
)

EVAL_RUN = _EVALUATION
JOB_EVALUATION = tuple(NotYet(f"evaluation.spec.{entry.path}", entry.accepts, entry.remedy) for entry in _EVALUATION)


def refuse(spec: dict[str, Value], table: tuple[NotYet, ...]) -> Iterator[Refusal]:
    """Refuse each value in the JSON form of a spec that a table entry does not accept."""
    for entry in table:
        for path, value in _values(spec, entry.path.split("."), "spec"):
            if value is not None and not entry.accepts(value):
                shown = f" {value}" if isinstance(value, str | int) and not isinstance(value, bool) else ""
                message = f"{path}:{shown} is not supported yet; {entry.remedy}"
                yield Refusal(NOT_SUPPORTED, path, message)


def _values(node: Value, steps: list[str], path: str) -> Iterator[tuple[str, Value]]:
    if not steps:
        yield path, node
    elif steps[0] == "*":
        for index, item in enumerate(node if isinstance(node, list) else []):
            yield from _values(item, steps[1:], f"{path}[{index}]")
    elif isinstance(node, dict) and steps[0] in node:
        yield from _values(node[steps[0]], steps[1:], f"{path}.{steps[0]}")
