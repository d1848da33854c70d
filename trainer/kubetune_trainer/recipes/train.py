"""The train stage: prepared data and a base model in, a tuned model out; stopped and started at any time."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

import torch

from kubetune_api.exits import REASONS, Exit
from kubetune_api.finetunejob import OutputFormat
from kubetune_api.ftjstatus import Resolved
from kubetune_api.method import ADAPTER_TUNINGS, LoraSpec, Objective, Tuning
from kubetune_api.report import FinalLine
from kubetune_api.run import RunFile, digest_of
from kubetune_api.training import Optimizer as OptimizerName
from kubetune_api.training import Precision, Toggle

from ..__main__ import done
from ..artifacts.export import artifact, export
from ..artifacts.lineage import Origin
from ..data.prepared import Prepared, open_prepared
from ..engine import budget, memory, precision
from ..engine.batches import MicroBatch, plan_order, rows
from ..engine.checkpoint import Checkpoints
from ..engine.forward import Forward, pack
from ..engine.lock import only_writer
from ..engine.loop import Loop, Plan
from ..engine.lora import LoraPlan, attach, plan_lora
from ..engine.optimizer import Optimizer
from ..engine.progress import History
from ..engine.rendezvous import Meeting, Place, place_of, threads
from ..engine.result import Result
from ..engine.stop import StopFlag, StopRequested, on_sigterm
from ..engine.strategy import Alone, DataParallel
from ..engine.validation import Validation
from ..engine.watchdog import Watchdog
from ..errors import BadSpec, Checkpointed
from ..models import LocalModel, load_causal_lm, load_tokenizer, resolve_model
from ..paths import Workspace, make_folder
from ..reporting import Reporter
from ..sources.place import require_room

_ONE_EXAMPLE_A_ROW = 1
_WRITTEN = (OutputFormat.ADAPTER, OutputFormat.MERGED)


@dataclass
class Tuned:
    """A model ready to be trained."""

    model: Any
    forward: Forward
    optimizer: Optimizer
    lora: LoraPlan | None
    precision: Precision
    device: torch.device


def run(run: RunFile, workspace: Workspace, reporter: Reporter) -> FinalLine:
    """Train, and return how it ended; a run that has ended before is only reported again.

    Raises:
        BadSpec: the settings do not fit the model, or are not supported yet.
        BadDataset: there is no prepared data.
        ModelUnavailable: the model cannot be had.
        Checkpointed: asked to stop; the state is saved.
        Diverged: loss or gradients stay not finite.
        DiskFull: the workspace cannot hold checkpoints and artifacts.
    """
    forms = _checked(run)
    place = place_of(run)
    with on_sigterm() as stop, Watchdog(reporter) as watchdog, ExitStack() as stack:
        gang = Alone()
        if place is not None:
            gang = _meet(place, run, reporter, watchdog, stop, stack)
        gang.first(lambda: _enter(stack, only_writer(workspace.root, run, stop.request)))
        return _train_or_tell(run, forms, gang, stop, watchdog, workspace, reporter)


def _meet(
    place: Place, run: RunFile, reporter: Reporter, watchdog: Watchdog, stop: StopFlag, stack: ExitStack
) -> DataParallel:
    """Meet the other processes; all but the first are quiet from now on."""
    device = precision.device_of(run.compute.accelerators, place.local_rank)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    reporter.say(f"Process {place.rank} of {place.world} meets the others at {place.host}:{place.port}")
    if place.rank:
        reporter.be_quiet()
    meeting = stack.enter_context(Meeting(place, reporter, watchdog))
    try:
        meeting.meet(device, stop)
    except StopRequested:
        raise Checkpointed("stopped on request before training began; nothing has changed") from None
    return DataParallel(meeting, device)


def _enter(stack: ExitStack, context: AbstractContextManager[Any]) -> None:
    stack.enter_context(context)


def _train_or_tell(
    run: RunFile,
    forms: tuple[OutputFormat, ...],
    gang: Alone,
    stop: StopFlag,
    watchdog: Watchdog,
    workspace: Workspace,
    reporter: Reporter,
) -> FinalLine:
    assert run.model is not None, "the plan gives it to this stage"
    model = run.model
    prepared = open_prepared(workspace.data)
    reporter.say(f"Reading {model.uri}")
    local = gang.each(lambda: resolve_model(model, workspace.models))
    fingerprint = digest_of([run.config_digest(), prepared.digest, local.revision])
    result = Result(workspace.reports / "training.json", fingerprint)
    keep, owner = run.training.checkpoints.keep, run.run.uid
    checkpoints = Checkpoints(workspace.checkpoints, fingerprint, keep, owner=owner, epoch=run.epoch)
    final = gang.first(lambda: result.read([workspace.artifacts / name for name in ("adapter", "merged")]))
    if final is None:
        torch.set_num_threads(threads(run))
        tuned = load(run, local, prepared, gang, reporter)
        loop, resolved = plan(run, prepared, tuned, checkpoints, gang, workspace, reporter)
        resumed = loop.resume()
        history = History(
            workspace.reports / "metrics.jsonl" if gang.leads else None, -1 if resumed is None else resumed
        )
        train(loop, history, stop, watchdog, reporter)
        if not gang.leads:
            return done(
                f"process {gang.rank} of {gang.world} has trained {loop.state.step} steps; the first one writes"
            )
        final = finish(run, local, prepared, tuned, loop, resolved, forms, workspace, reporter)
        result.write(final, history, loop.state)
    elif gang.leads:
        reporter.say("Training has ended before; nothing has changed.")
    if gang.leads:
        checkpoints.remove_all()
    return final


def _checked(run: RunFile) -> tuple[OutputFormat, ...]:
    """Return the forms to write, after refusing what cannot be done: nothing is silently ignored."""
    method, output = run.method, run.output
    wanted: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "method.objective": (method.objective, (Objective.SFT,)),
        "method.tuning": (method.tuning, (Tuning.LORA, Tuning.FULL)),
        "training.optimizer": (run.training.optimizer, (OptimizerName.ADAMW,)),
        "training.compile": (run.training.compile, (Toggle.AUTO, Toggle.OFF)),
        "output.uri": (output.uri, (None,)),
        "tracking": (run.tracking, (None,)),
    }
    adapter = method.tuning in ADAPTER_TUNINGS
    forms = tuple(output.formats or [OutputFormat.ADAPTER if adapter else OutputFormat.MERGED])
    wanted |= {f"output.formats[{index}]": (form, _WRITTEN) for index, form in enumerate(forms)}
    for path, (value, accepted) in wanted.items():
        if value not in accepted:
            known = " or ".join(str(one) for one in accepted if one is not None)
            remedy = f"use {known}" if known else "leave it out"
            raise BadSpec(f"spec.{path}: {value} is not supported yet; {remedy}", reason="NotSupportedYet")
    if OutputFormat.ADAPTER in forms and not adapter:
        raise BadSpec(f"spec.output.formats: tuning {method.tuning} makes no adapter; write Merged")
    return forms


def load(run: RunFile, local: LocalModel, prepared: Prepared, gang: Alone, reporter: Reporter) -> Tuned:
    """Return the model in memory, with adapters when the tuning has them, and its optimiser."""
    device = precision.device_of(run.compute.accelerators, gang.local_rank)
    chosen = precision.resolve(run.training.precision, device)
    model = load_causal_lm(local, dtype=precision.torch_dtype(chosen)).to(device)
    packed = run.training.packing and pack(model)
    if run.training.packing and not packed:
        reporter.say(f"{type(model).__name__} would mix the examples of a packed row: each gets a row of its own")
    lora = None
    if run.method.tuning in ADAPTER_TUNINGS:
        lora = plan_lora(model, run.method.lora or LoraSpec())
        attach(model, lora, run.training.seed)
    forward = Forward(model, packed=packed)
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    return Tuned(model, forward, Optimizer(trained, run.training), lora, chosen, device)


def plan(
    run: RunFile,
    prepared: Prepared,
    tuned: Tuned,
    checkpoints: Checkpoints,
    gang: Alone,
    workspace: Workspace,
    reporter: Reporter,
) -> tuple[Loop, Resolved]:
    """Work out micro-batch, accumulation and steps, and say so."""
    training, data = run.training, prepared.train
    longest = int(data.lengths.max())
    fits = budget.work_out(
        training,
        tuned.model.config.to_dict(),
        longest,
        memory.free_bytes(tuned.device, run.compute.memory_bytes, tuned.optimizer.parameters),
        tuned.model.dtype.itemsize,
        tuned.device.type,
    )
    divisor = run.adjustments.micro_batch_divisor
    fits = budget.divided(fits, divisor, longest, training.activation_checkpointing)
    if fits.checkpointing:
        tuned.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        tuned.model.enable_input_require_grads()
    tokens = fits.tokens if tuned.forward.packed else _ONE_EXAMPLE_A_ROW
    if tuned.device.type == "cuda":
        tokens = budget.rehearse(lambda batch: _rehearsal(tuned, batch), data, tokens, tuned.device)
    tokens = gang.least(tokens)
    batch_tokens = training.global_batch_tokens or 65_536
    order = plan_order(data.lengths, training.seed, batch_tokens, training.global_batch_size)
    total = training.max_steps or (training.epochs or 1) * order.steps_per_epoch
    _require_room(run, tuned, workspace)
    resolved = Resolved(
        sequence_length=prepared.sequence_length,
        micro_batch_tokens=max(tokens, longest) if tokens == _ONE_EXAMPLE_A_ROW else tokens,
        micro_batch=1,
        accumulation=gang.rounds(rows(data.lengths, order.step(0), tokens, gang.world)),
        total_tokens=round(int(data.lengths.sum()) * total / order.steps_per_epoch),
        trainable_parameters=tuned.optimizer.parameters,
        precision=tuned.precision.value,
    )
    reporter.resolved(resolved)
    reporter.say(
        f"{total} steps over {len(data)} examples ({order.steps_per_epoch} steps an epoch), "
        f"{resolved.accumulation} micro-batches of up to {resolved.micro_batch_tokens} tokens a step; "
        f"{resolved.trainable_parameters:,} weights are trained in {resolved.precision}"
        + (f", by {gang.world} processes together" if gang.world > 1 else "")
        + (f"; micro-batches are divided by {divisor} because memory ran out before" if divisor > 1 else "")
    )
    validation = _validation(prepared, tuned, tokens, gang)
    steps = Plan(order, total, tokens, training, tuned.device)
    return Loop(steps, tuned.forward, tuned.optimizer, data, validation, checkpoints, gang), resolved


def _validation(prepared: Prepared, tuned: Tuned, tokens: int, gang: Alone) -> Validation | None:
    if prepared.validation is None or not len(prepared.validation):
        return None
    return Validation(prepared.validation, tokens, tuned.device, packed=tuned.forward.packed, gang=gang)


def _rehearsal(tuned: Tuned, batch: MicroBatch) -> None:
    tuned.forward.model.train()
    try:
        tuned.forward.loss(batch).backward()  # type: ignore[no-untyped-call]
    finally:
        tuned.optimizer.forget()


def _require_room(run: RunFile, tuned: Tuned, workspace: Workspace) -> None:
    """Check before the first step that checkpoints and artifacts fit (fp32 weights and two moments a checkpoint)."""
    keep = run.training.checkpoints.keep + 1
    checkpoints = keep * 12 * tuned.optimizer.parameters
    merged = sum(parameter.numel() * parameter.element_size() for parameter in tuned.model.parameters())
    room = workspace.room(run.workspace_bytes)
    require_room(checkpoints + merged, workspace.root, room, f"training ({keep} checkpoints and the tuned model)")


def train(loop: Loop, history: History, stop: StopFlag, watchdog: Watchdog, reporter: Reporter) -> None:
    """Run the loop to its end.

    Raises:
        Checkpointed: asked to stop; the state is saved.
    """
    step, total = loop.state.step, loop.plan.total_steps
    if step:
        reporter.say(f"Resuming at step {step} of {total}")
    try:
        loop.run(reporter, history, stop, watchdog)
    except StopRequested:
        raise Checkpointed(f"stopped on request at step {loop.state.step} of {total}; the state is saved") from None
    finally:
        history.close()


def finish(
    run: RunFile,
    local: LocalModel,
    prepared: Prepared,
    tuned: Tuned,
    loop: Loop,
    resolved: Resolved,
    forms: tuple[OutputFormat, ...],
    workspace: Workspace,
    reporter: Reporter,
) -> FinalLine:
    """Write the artifacts of the last step, or of the best one when early stopping was asked for."""
    state, judgement = loop.state, loop.state.judgement
    steps, loss = state.step, judgement.loss
    best = loop.checkpoints.best() if run.training.early_stopping is not None else None
    if best is not None:
        tuned.optimizer.load(best.tensors)
        steps, loss = best.step, judgement.best
        reporter.say(f"The weights of step {steps} are exported: they have the lowest validation loss")
    origin = Origin(run, local, prepared.status, tuned.precision.value, steps, loss, judgement.first)
    peak = memory.quantity(memory.peak_bytes(tuned.device))
    make_folder(workspace.artifacts)
    tokenizer = load_tokenizer(local)
    written = export(tuned.model.eval(), tokenizer, tuned.lora, origin, forms, workspace.artifacts)
    artifacts = [artifact(form, folder, workspace.uri_of(folder)) for form, folder in written.items()]
    for item in artifacts:
        reporter.say(f"{item.type} written: {item.uri}")
    return FinalLine(
        exit_code=Exit.DONE,
        reason=REASONS[Exit.DONE],
        message=_summary(loop, steps, loss),
        progress=loop.narrator.progress,
        resolved=resolved.model_copy(update={"memory_peak": peak}),
        artifacts=artifacts,
        lineage=origin.lineage,
    )


def _summary(loop: Loop, exported: int, loss: float | None) -> str:
    state, total = loop.state, loop.plan.total_steps
    text = f"{state.step} steps, {state.tokens} tokens"
    if state.step < total:
        text = f"stopped early at step {state.step} of {total}: the validation loss no longer fell; " + text
    if loss is not None and state.judgement.first is not None and math.isfinite(loss):
        text += f"; validation loss {state.judgement.first:.4f} before, {loss:.4f} at step {exported}"
    if state.guard.skipped:
        text += f"; {state.guard.skipped} steps left out (not finite)"
    return text
