"""The prepare stage: fetch, read, check, split, tokenise; bad data ends here, before an accelerator is taken."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kubetune_api import __version__
from kubetune_api.dataset import CheckAction, DatasetSpec, PiiAction
from kubetune_api.ftjstatus import DatasetStatus
from kubetune_api.model import DataSource
from kubetune_api.report import FinalLine
from kubetune_api.run import RunFile, digest_of
from kubetune_api.training import SEQUENCE_LENGTH

from ..__main__ import done
from ..data.datareport import findings, write_report
from ..data.encoding import Encoder, check_stop_is_learned
from ..data.formats import Example, RowProblem
from ..data.prepared import MANIFEST, Prepared, find_prepared, split_digest
from ..data.reading import data_files, of_split
from ..data.shards import SplitWriter
from ..data.splitting import validation_mask
from ..data.survey import KEPT, Quarantine, Source, Survey, examples, held_back_digests, open_sources
from ..engine import durable
from ..engine.lock import only_writer
from ..errors import BadSpec
from ..models import LocalModel, load_tokenizer, require_chat_template, resolve_model
from ..paths import Workspace
from ..reporting import Reporter
from ..sources import fetch_data
from ..sources.place import require_room

_BATCH = 512
_DEFAULT_FRACTION = 0.05
#: Bytes on disk for one byte of text: about a token for 3 to 4 bytes, 5 bytes a token, and some room.
_GROWTH = 1.6


@dataclass(frozen=True)
class Inputs:
    """Everything that goes in, on this machine."""

    model: LocalModel
    train: list[Path]
    validation: list[Path]
    held_out: list[Path]
    length: int
    """length in tokens that examples are cut at."""
    key: str


def run(run: RunFile, workspace: Workspace, reporter: Reporter) -> FinalLine:
    """Prepare the data of a run.

    Raises:
        BadDataset: the data cannot be trained on.
        BadSpec: the settings do not fit the model.
        ModelUnavailable: the model cannot be had.
        DiskFull: the workspace is too small.
    """
    assert run.dataset is not None, "the plan gives it to this stage"
    checked(run.dataset)
    with only_writer(workspace.root, run):
        inputs = fetch(run, workspace, reporter)
        tokenizer = load_tokenizer(inputs.model)
        prepared = find_prepared(workspace.data, inputs.key)
        if prepared is None:
            prepared = prepare(run, run.dataset, inputs, tokenizer, workspace, reporter)
        else:
            reporter.say("The data is prepared already; nothing has changed.")
    reporter.dataset(prepared.status)
    return done(_summary(prepared)).model_copy(update={"dataset": prepared.status})


def checked(data: DatasetSpec) -> None:
    """Refuse what cannot be done: nothing is silently ignored.

    Raises:
        BadSpec: the field, and what to do instead.
    """
    wanted = (
        ("checks.pii", data.checks.pii is PiiAction.REDACT, "use Drop, or clean the data before"),
        ("checks.toxicity", data.checks.toxicity is not CheckAction.OFF, "leave it Off, and clean the data before"),
        ("columns.label", data.columns.label, "leave it out"),
        ("columns.chosen", data.columns.chosen, "leave it out"),
        ("columns.rejected", data.columns.rejected, "leave it out"),
        ("stratifyBy", data.stratify_by, "give validation.sources with the shares you want"),
    )
    for path, asked, remedy in wanted:
        if asked:
            raise BadSpec(f"spec.dataset.{path} is not supported yet; {remedy}", reason="NotSupportedYet")


def fetch(run: RunFile, workspace: Workspace, reporter: Reporter) -> Inputs:
    """Fetch model and data, cheapest checks first."""
    assert run.model is not None, "the plan gives both to this stage"
    assert run.dataset is not None
    room = workspace.room(run.workspace_bytes)
    data = run.dataset
    revisions: list[str] = []

    def files(sources: list[DataSource] | None) -> list[Path]:
        found: list[Path] = []
        for source in sources or []:
            reporter.say(f"Reading {source.uri}")
            fetched = fetch_data(source, workspace.downloads, room=room)
            chosen = data_files(fetched.path, source.uri)
            chosen = of_split(chosen, source.split) if fetched.path.is_dir() else chosen
            revisions.extend(_fingerprint(path) for path in chosen)
            found += chosen
        return found

    train, held_out = files(data.train), files(data.held_out)
    validation = files(data.validation.sources)
    needed = int(_GROWTH * sum(path.stat().st_size for path in (*train, *validation)))
    require_room(needed, workspace.data, workspace.room(run.workspace_bytes), "the prepared data")
    reporter.say(f"Reading {run.model.uri}")
    model = resolve_model(run.model, workspace.models, room=workspace.room(run.workspace_bytes))
    length = _length(run, model)
    settings = data.dump() | {"sequenceLength": length, "seed": run.training.seed}
    key = digest_of([__version__, settings, revisions, model.uri, model.revision])
    return Inputs(model, train, validation, held_out, length, key)


def _fingerprint(path: Path) -> str:
    stat = path.stat()
    return f"{path.name}-{stat.st_size}-{stat.st_mtime_ns}"


def _length(run: RunFile, model: LocalModel) -> int:
    """Return the length that is asked for, or the usual one as far as the model goes."""
    asked, known = run.training.sequence_length, model.positions
    if asked is None:
        return min(SEQUENCE_LENGTH, known or SEQUENCE_LENGTH)
    if known is not None and asked > known:
        raise BadSpec(
            f"spec.training.sequenceLength {asked} is more than the {known} positions of {model.uri}; "
            f"set it to at most {known}",
            reason="SequenceTooLong",
        )
    return asked


def prepare(
    run: RunFile, data: DatasetSpec, inputs: Inputs, tokenizer: Any, workspace: Workspace, reporter: Reporter
) -> Prepared:
    """Check, split and tokenise; the manifest that makes the result visible is written last."""
    durable.sweep(workspace.data)
    part = Path(tempfile.mkdtemp(prefix=f".{inputs.key[7:19]}-", dir=workspace.data))
    with durable.open_anew(workspace.data / "quarantine.jsonl") as file:
        quarantine = Quarantine(file)
        sources = open_sources(inputs.train, data.format, data.columns, "spec.dataset")
        others = [
            open_sources(files, data.format, data.columns, "spec.dataset")
            for files in (inputs.validation, inputs.held_out)
            if files
        ]
        held_back = held_back_digests([source for group in others for source in group])
        survey = Survey(data.checks, quarantine, held_back if data.checks.leakage is not CheckAction.OFF else {})
        for source in sources:
            for row, example in examples(source):
                survey.take(row, example)
        survey.refuse()
        reporter.say(f"{survey.rows} rows read, {survey.verdicts.count(KEPT)} kept; tokenising")
        encoder = _encoder(run, inputs, tokenizer, sources)
        writers = _write(run, data, sources, survey, encoder, quarantine, part)
        if inputs.validation:
            validation = others[0]
            writers["validation"] = _write_all(validation, encoder, quarantine, part / "validation")
        survey.refuse()
    if writers["train"].examples == 0:
        raise BadSpec(
            f"no training example fits spec.training.sequenceLength {inputs.length}; set it higher",
            reason="SequenceTooShort",
        )
    return _publish(run, data, inputs, tokenizer, workspace, survey, writers, quarantine.found.count, part)


def _encoder(run: RunFile, inputs: Inputs, tokenizer: Any, sources: list[Source]) -> Encoder:
    encoder = Encoder(tokenizer, inputs.length)
    first = next(example for source in sources for _, example in examples(source) if isinstance(example, Example))
    if first.messages:
        require_chat_template(tokenizer, inputs.model.uri)
    check_stop_is_learned(encoder, first, tokenizer)
    return encoder


def _write(
    run: RunFile,
    data: DatasetSpec,
    sources: list[Source],
    survey: Survey,
    encoder: Encoder,
    quarantine: Quarantine,
    folder: Path,
) -> dict[str, SplitWriter]:
    """Write the kept rows to train and validation, in order."""
    fraction = float(data.validation.fraction or _DEFAULT_FRACTION) if not data.validation.sources else 0.0
    mask = validation_mask(survey.groups, fraction, run.training.seed)
    names = [source.path.name for source in sources]
    with SplitWriter(folder / "train", names) as train, SplitWriter(folder / "validation", names) as validation:
        kept = 0
        for batch in _batches(sources, survey.verdicts):
            chosen = [validation if held else train for held in mask[kept : kept + len(batch)]]
            kept += len(batch)
            _encode_batch(batch, chosen, encoder, quarantine)
    return {"train": train, "validation": validation}


def _write_all(sources: list[Source], encoder: Encoder, quarantine: Quarantine, folder: Path) -> SplitWriter:
    """Write every usable row of sources to one split."""
    with SplitWriter(folder, [source.path.name for source in sources]) as writer:
        for batch in _batches(sources, None):
            _encode_batch(batch, [writer] * len(batch), encoder, quarantine)
    return writer


Placed = tuple[int, Example]


def _batches(sources: list[Source], verdicts: bytearray | None) -> Iterator[list[Placed]]:
    """Yield the kept examples with the index of their file."""
    batch: list[Placed] = []
    position = 0
    for index, source in enumerate(sources):
        for _, example in examples(source):
            kept = isinstance(example, Example) if verdicts is None else verdicts[position] == KEPT
            position += 1
            if kept and isinstance(example, Example):
                batch.append((index, example))
            if len(batch) == _BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


def _encode_batch(batch: list[Placed], writers: list[SplitWriter], encoder: Encoder, quarantine: Quarantine) -> None:
    encoded = encoder.encode([example for _, example in batch])
    for (file, example), writer, result in zip(batch, writers, encoded, strict=True):
        if isinstance(result, RowProblem):
            quarantine.add(example.file, example.number, str(result), example.key())
        else:
            writer.add(result, file, example.number)


def _publish(
    run: RunFile,
    data: DatasetSpec,
    inputs: Inputs,
    tokenizer: Any,
    workspace: Workspace,
    survey: Survey,
    writers: dict[str, SplitWriter],
    quarantined: int,
    part: Path,
) -> Prepared:
    """Write report and manifest; afterwards the data is prepared."""
    train, validation = writers["train"], writers["validation"]
    dropped = {name: finding.count for name, finding in survey.findings.items() if _drops(data, name)}
    status = DatasetStatus(
        examples=train.examples,
        validation=validation.examples,
        held_out=sum(1 for path in inputs.held_out for _ in _usable(path, data)) or None,
        tokens=train.tokens,
        truncated=train.truncated,
        dropped={name: count for name, count in (dropped | {"schema": quarantined}).items() if count} or None,
        digest=split_digest([part / "train", part / "validation"]),
        report=workspace.uri_of(workspace.reports / "data.md"),
    )
    final = workspace.data / part.name.removeprefix(".")  # a name of its own: nobody else's data is ever replaced
    part.chmod(0o755)
    durable.may_write()
    part.rename(final)
    manifest = {
        "key": inputs.key,
        "folder": final.name,
        "sequenceLength": inputs.length,
        "validation": validation.examples > 0,
        "status": status.dump(),
    }
    durable.write_json(workspace.data / MANIFEST, manifest)
    prepared = find_prepared(workspace.data, inputs.key)
    assert prepared is not None, "just written"
    _remove_others(workspace.data, final)
    report = status.dump() | {
        "rows": survey.rows,
        "supervisedTokens": train.supervised_tokens,
        "truncated": train.truncated,
        "truncatedTokens": train.truncated_tokens,
        "sequenceLength": inputs.length,
        "actions": data.checks.model_dump(mode="json", by_alias=True),
        "checks": findings(survey, quarantined),
    }
    write_report(workspace.reports, report, tokenizer, prepared.train)
    return prepared


def _remove_others(folder: Path, current: Path) -> None:
    """Remove what was prepared before from other rows or settings, or by a process that was cut off."""
    durable.may_write()
    for path in folder.iterdir():
        if path.is_dir() and path != current and (path / "train").is_dir():
            durable.discard(path)


def _drops(data: DatasetSpec, name: str) -> bool:
    return bool(data.checks.model_dump(by_alias=True)[name] == CheckAction.DROP)


def _usable(path: Path, data: DatasetSpec) -> Iterator[Example]:
    for source in open_sources([path], data.format, data.columns, "spec.dataset"):
        yield from (example for _, example in examples(source) if isinstance(example, Example))


def _summary(prepared: Prepared) -> str:
    status = prepared.status
    learned = int(np.int64(prepared.train.supervised_tokens))
    dropped = ", ".join(f"{count} {name}" for name, count in (status.dropped or {}).items())
    return (
        f"{status.examples} examples to train on ({status.tokens} tokens, {learned} learned), "
        f"{status.validation} to validate" + (f"; dropped: {dropped}" if dropped else "")
    )
