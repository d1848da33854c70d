"""The training loop. A step's data, learning rate and randomness depend on its number and the seed alone."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from kubetune_api.training import TrainingSpec

from ..errors import Diverged, PeerLost
from ..reporting import Reporter
from . import schedule
from .batches import Examples, Ints, MicroBatch, Order, micro_batch, rows
from .checkpoint import Checkpoints, Saved
from .forward import Forward
from .guard import Guard, Verdict
from .optimizer import Optimizer
from .progress import History, Narrator
from .stop import StopFlag, StopRequested
from .strategy import Alone
from .validation import Judgement, Validation
from .watchdog import Watchdog


@dataclass(frozen=True)
class Plan:
    """What the loop is to do."""

    order: Order
    total_steps: int
    budget: int
    """budget of tokens in a micro-batch; 1 puts each example in a row of its own."""
    training: TrainingSpec
    device: torch.device


@dataclass
class State:
    """Where the loop is; with the optimiser's tensors and the random state it is all that a resume needs."""

    step: int = 0
    tokens: int = 0
    judgement: Judgement = field(default_factory=Judgement)
    guard: Guard = field(default_factory=Guard)

    def dump(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "step": self.step,
            "tokens": self.tokens,
            "judgement": self.judgement.dump(),
            "guard": self.guard.dump(),
        }

    @classmethod
    def load(cls, document: dict[str, Any]) -> State:
        """Return the state of `dump`."""
        return cls(document["step"], document["tokens"], Judgement(**document["judgement"]), Guard(**document["guard"]))


class Loop:
    """Trains until the plan is done, or early stopping or a stop request ends it."""

    def __init__(
        self,
        plan: Plan,
        forward: Forward,
        optimizer: Optimizer,
        examples: Examples,
        validation: Validation | None,
        checkpoints: Checkpoints,
        gang: Alone | None = None,
    ) -> None:
        self.gang = gang or Alone()
        self.budget = plan.budget
        self.plan, self.forward, self.optimizer = plan, forward, optimizer
        self.examples, self.validation, self.checkpoints = examples, validation, checkpoints
        self.state = State()
        self._saved_at = time.monotonic()
        self._saved_step: int | None = None

    def resume(self) -> int | None:
        """Take up the newest checkpoint that verifies; returns its step, or None for a fresh start."""
        torch.manual_seed(self.plan.training.seed)
        saved = self._newest()
        if saved is None:
            return None
        self.state = State.load(saved.scalars)
        self._restore(saved)
        self._saved_step = saved.step
        return saved.step

    def run(self, reporter: Reporter, history: History, stop: StopFlag, watchdog: Watchdog) -> None:
        """Train to the end.

        Raises:
            StopRequested: a stop was asked for; the state of the last finished step is saved.
            Diverged: loss or gradients stay not finite.
        """
        self.narrator = Narrator(reporter, self.plan.total_steps, self.plan.order.steps_per_epoch)
        self.history, self.stop, self.watchdog, self.reporter = history, stop, watchdog, reporter
        self.narrator.start(self.state.step, self.state.judgement.loss, self._saved_step)
        self.forward.model.train()
        try:
            while not self._finished():
                self._evaluate_when_due()
                if self.state.judgement.ends(self.plan.training.early_stopping):
                    break
                self._advance()
                self._evaluate_when_due()
                self._save_when_due()
        except (StopRequested, PeerLost):
            self.save()
            raise

    def save(self) -> None:
        """Write a checkpoint of the last finished step, unless there is one; the first process does."""
        self._saved_at = time.monotonic()
        if not self.gang.leads:
            return
        if self._saved_step == self.state.step:
            return
        self.checkpoints.save(self.state.step, self.optimizer.tensors() | self._random(), self.state.dump())
        self._saved_step = self.state.step
        self.narrator.saved(self.state.step)

    def _finished(self) -> bool:
        ended = self.state.judgement.ends(self.plan.training.early_stopping)
        return ended or self.state.step >= self.plan.total_steps

    def _advance(self) -> None:
        """Do one optimiser step."""
        state, plan = self.state, self.plan
        members = plan.order.step(state.step)
        share = schedule.factor(plan.training.schedule, state.step, plan.total_steps)
        loss, norm = self._gradients(members)
        tokens = int(plan.order.lengths[members].sum())
        state.step += 1
        state.tokens += tokens
        if self._accept(loss, norm):
            self.optimizer.step(share)
            rate = self.optimizer.peak * share
            self.history.add(step=state.step, loss=loss, gradientNorm=norm, learningRate=rate, tokens=tokens)
            self.narrator.stepped(state.step, loss, norm, rate, tokens)

    def _gradients(self, members: Ints) -> tuple[float, float]:
        """Return loss and gradient norm of a step; when memory runs out it is done again with smaller micro-batches."""
        while True:
            spread = rows(self.plan.order.lengths, members, self.budget, self.gang.world)
            mine = self.gang.share(spread)
            before = self._random()
            try:
                batches = [micro_batch(self.examples, row, self.plan.device) for row in mine]
                return self._accumulate(batches, self.gang.rounds(spread))
            except torch.OutOfMemoryError:
                self.optimizer.forget()
                if self.gang.world > 1 or max(len(row) for row in spread) == 1:
                    raise
            except (StopRequested, PeerLost):
                self.optimizer.forget()
                self._set_random(before)
                raise
            self._set_random(before)
            self.budget = max(1, max(int(self.plan.order.lengths[row].sum()) for row in spread) // 2)
            torch.cuda.empty_cache()
            self.reporter.say(
                f"step {self.state.step + 1}: out of memory; micro-batches have at most {self.budget} tokens from now "
                "on, and the batch of a step stays what it was"
            )

    def _accumulate(self, batches: list[MicroBatch], rounds: int) -> tuple[float, float]:
        """Return loss per supervised token and gradient norm of a whole step; both are read from the device once."""
        self.gang.begin(self.plan.training.seed, self.state.step)
        supervised = self.gang.count(sum(batch.supervised for batch in batches))
        total = torch.zeros((), dtype=torch.float32, device=self.plan.device)
        for number in range(rounds):
            self.gang.check(self.stop)
            if number < len(batches) and batches[number].supervised:
                loss = self.forward.loss(batches[number]) / supervised
                loss.backward()  # type: ignore[no-untyped-call]
                total += loss.detach()
            self.watchdog.beat()
        if self.gang.world > 1 and supervised:
            self.gang.add([*self.optimizer.gradients(), total])
        if not supervised:
            return 0.0, 0.0
        figures: list[float] = torch.stack([total, self.optimizer.norm().to(total)]).tolist()
        return figures[0], figures[1]

    def _accept(self, loss: float, norm: float) -> bool:
        """Return whether to take a step; otherwise leave it out, and go back when there have been several."""
        state = self.state
        verdict = state.guard.judge(math.isfinite(loss) and math.isfinite(norm))
        if verdict is Verdict.TAKE:
            return True
        self.optimizer.forget()
        self.history.add(step=state.step, skipped=True)
        self.reporter.say(f"step {state.step}: loss {loss}, gradient norm {norm}: left out (not finite)")
        if verdict is Verdict.LEAVE_OUT:
            return False
        saved = self._newest() if verdict is Verdict.GO_BACK else None
        if saved is None:
            raise Diverged(
                f"loss or gradients are not finite at step {state.step} ({state.guard.skipped} steps left out); lower "
                "spec.training.learningRate, raise warmupFraction, or set precision: FP32"
            )
        self._restore(saved)
        self.reporter.say(f"step {state.step}: back to the weights of step {saved.step}; the data since is left out")
        return False

    def _evaluate_when_due(self) -> None:
        state, judgement = self.state, self.state.judgement
        every = self.plan.training.evaluate_every.steps
        due = state.step % every == 0 or state.step == self.plan.total_steps
        if self.validation is None or not due or judgement.evaluated >= state.step:
            return
        loss = self.validation.loss(self.forward, self._between_rows)
        if not math.isfinite(loss):
            raise Diverged(
                f"the validation loss at step {state.step} is not finite; lower spec.training.learningRate, or set "
                "precision: FP32"
            )
        better = judgement.add(state.step, loss, self.plan.training.early_stopping)
        self.history.add(step=state.step, evalLoss=loss)
        assert judgement.best is not None
        self.narrator.evaluated(state.step, loss, judgement.best, judgement.best_step)
        if better and self.gang.leads and self.plan.training.early_stopping is not None:
            weights = {name: tensor for name, tensor in self.optimizer.tensors().items() if name.startswith("weight/")}
            self.checkpoints.save_best(state.step, weights, {})

    def _between_rows(self) -> None:
        self.watchdog.beat()
        self.gang.check(self.stop)

    def _save_when_due(self) -> None:
        rule = self.plan.training.checkpoints
        by_steps = rule.every_steps is not None and self.state.step % rule.every_steps == 0
        if by_steps or time.monotonic() - self._saved_at >= 60 * rule.every_minutes:
            self.save()

    def _newest(self) -> Saved | None:
        """Return the newest checkpoint, the same for all processes: the first one chooses."""
        if self.gang.world == 1:
            return self.checkpoints.newest()
        found: list[Saved | None] = [None]

        def choose() -> str | None:
            found[0] = self.checkpoints.newest()
            return found[0].folder.name if found[0] else None

        name = self.gang.first(choose)
        if name is not None and not self.gang.leads:
            found[0] = self.checkpoints.read_named(name)
        return found[0]

    def _restore(self, saved: Saved) -> None:
        self.optimizer.load(saved.tensors)
        self._set_random(saved.tensors)

    def _random(self) -> dict[str, Tensor]:
        states = {"random/cpu": torch.get_rng_state()}
        if self.plan.device.type == "cuda":
            states["random/cuda"] = torch.cuda.get_rng_state(self.plan.device)
        return states

    def _set_random(self, states: dict[str, Tensor]) -> None:
        torch.set_rng_state(states["random/cpu"].clone())
        if "random/cuda" in states and self.plan.device.type == "cuda":
            torch.cuda.set_rng_state(states["random/cuda"].clone(), self.plan.device)
