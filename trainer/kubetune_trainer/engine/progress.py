"""How far training is: speed, time left, lines for the operator and for people, and the history of the loss."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from kubetune_api.ftjstatus import Progress

from ..reporting import Reporter
from .durable import open_anew

#: Report lines are at least this far apart, but for the first, the last and those with a validation loss.
SECONDS_BETWEEN_LINES = 2.0
_SPEED_WINDOW = 16


class History:
    """`reports/metrics.jsonl`: one JSON line per optimiser step and per evaluation."""

    def __init__(self, path: Path | None, step: int) -> None:
        """Keep the entries up to `step`; without a path nothing is written."""
        self._file: TextIO | None = None
        self.entries: list[dict[str, Any]] = []
        if path is None:
            return
        self.entries = known = [entry for entry in read_history(path) if entry["step"] <= step]
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open_anew(path)
        for entry in known:
            self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def add(self, **entry: Any) -> None:
        """Append an entry; it has at least `step`."""
        self.entries.append(entry)
        if self._file is not None:
            self._file.write(json.dumps(entry) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def read_history(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a history; a cut last one is left out."""
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            entries.append(json.loads(line))
        except ValueError:
            break
    return entries


class Narrator:
    """Tells the operator and people how training goes."""

    def __init__(
        self, reporter: Reporter, total: int, steps_per_epoch: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._reporter, self._total, self._steps_per_epoch, self._clock = reporter, total, steps_per_epoch, clock
        self._said = -SECONDS_BETWEEN_LINES
        self._losses: list[float] = []
        self._marks: deque[tuple[float, int, int]] = deque(maxlen=_SPEED_WINDOW)
        """marks: time, step, tokens of this process."""
        self._tokens = 0
        self.progress = Progress(total_steps=total)

    def start(self, step: int, eval_loss: float | None, checkpoint: int | None) -> None:
        """Say where a run starts, or goes on."""
        self._marks.append((self._clock(), step, 0))
        shown = None if eval_loss is None else _figure(eval_loss)
        self.progress = Progress(total_steps=self._total, eval_loss=shown, last_checkpoint_step=checkpoint)
        self._send(step)

    def stepped(self, step: int, loss: float, norm: float, rate: float, tokens: int) -> None:
        """Take the result of a step; say so when it is time."""
        self._tokens += tokens
        self._losses.append(loss)
        now = self._clock()
        if now - self._said < SECONDS_BETWEEN_LINES and step < self._total:
            return
        self._marks.append((now, step, self._tokens))
        mean = sum(self._losses) / len(self._losses)
        self._losses = []
        self._update(loss=_figure(mean), step_loss=f"{loss:.9g}", tokens_per_second=self._speed())
        self._send(step)
        speed = self.progress.tokens_per_second
        self._reporter.say(
            f"step {step}/{self._total}  loss {mean:.4f}  gradient norm {norm:.3g}  learning rate {rate:.2e}  "
            f"{speed} tokens/s  {self.progress.remaining or '0s'} left"
        )

    def evaluated(self, step: int, loss: float, best: float, best_step: int) -> None:
        """Say a validation loss."""
        self._update(eval_loss=_figure(loss))
        self._send(step)
        note = "best so far" if best_step == step else f"best {best:.4f} at step {best_step}"
        self._reporter.say(f"step {step}/{self._total}  validation loss {loss:.4f}  ({note})")

    def saved(self, step: int) -> None:
        """Say that a checkpoint was written."""
        self._update(last_checkpoint_step=step)
        self._send(step)
        self._reporter.say(f"step {step}/{self._total}  checkpoint written")

    def _speed(self) -> int | None:
        (then, _, before), (now, _, after) = self._marks[0], self._marks[-1]
        return round((after - before) / (now - then)) if now > then else None

    def _remaining(self, step: int) -> float | None:
        if not self._marks:
            return None
        (then, first, _), (now, last, _) = self._marks[0], self._marks[-1]
        return (now - then) / (last - first) * (self._total - step) if last > first else None

    def _update(self, **changes: Any) -> None:
        self.progress = self.progress.model_copy(update=changes)

    def _send(self, step: int) -> None:
        self._said = self._clock()
        left = self._remaining(step)
        now = datetime.now(UTC)
        self._update(
            step=step,
            summary=f"{step}/{self._total}",
            percent=int(100 * step / self._total) if self._total else 100,
            epoch=f"{step / self._steps_per_epoch:.2f}",
            remaining=None if left is None else duration(left),
            estimated_completion_time=None if left is None else _timestamp(now + timedelta(seconds=left)),
            updated_at=_timestamp(now),
        )
        self._reporter.progress(self.progress)


def duration(seconds: float) -> str:
    """Return a time span for people: 42s, 4m10s, 3h05m."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{whole % 60:02d}s" if minutes else f"{whole}s"


def _figure(value: float) -> str:
    return f"{value:.4f}"


def _timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
