"""The live view of a run: a board as rich renderables, and as plain lines where there is no terminal. Pure."""

from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .board import Board, condition
from .figures import duration, moment, number, seconds_between, sparkline

Object = dict[str, Any]
PHASE_STYLES = {"Succeeded": "bold green", "Failed": "bold red", "Suspended": "yellow", "Pending": "yellow"}
_STAGES = ("Preparing", "Training", "Evaluating")
_MARKS = {"True": ("●", "green"), "False": ("○", "red"), "Unknown": ("◌", "dim")}
#: Conditions whose True is bad news.
_BAD_WHEN_TRUE = ("Failed",)
#: Conditions that say False in the ordinary course of a run.
_QUIET_WHEN_FALSE = ("Failed", "Running", "Progressing", "Approved")


def live(board: Board, now: datetime, width: int) -> RenderableType:
    """Return the whole view, at most about 24 lines."""
    parts: list[RenderableType] = [_headline(board, now), Text("")]
    if board.losses or board.progress.get("totalSteps"):
        parts += [_training(board, now, width), Text("")]
    if board.eval_progress and not board.done:
        parts += [_evaluating(board, now), Text("")]
    parts.append(_conditions(board))
    parts += _troubles(board)
    return Group(*parts)


def _headline(board: Board, now: datetime) -> Text:
    status = board.run.get("status") or {}
    taken = seconds_between(board.run["metadata"].get("creationTimestamp"), status.get("completionTime"), now)
    text = Text.assemble((board.name, "bold"), "  ", (board.phase, PHASE_STYLES.get(board.phase, "bold cyan")))
    data = status.get("dataset") or {}
    facts = [f"{data['examples']:,} examples" if data.get("examples") else ""]
    facts.append(f"{data['tokens']:,} tokens" if data.get("tokens") else "")
    facts.append(duration(taken) if taken is not None else "")
    return text.append("  " + " · ".join(filter(None, facts)), style="dim")


def _grid() -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True, min_width=10)
    table.add_column()
    return table


def _bar(percent: float, rest: str) -> Table:
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_row(ProgressBar(total=100, completed=percent, width=24), Text(f"{percent:.0f} %"), Text(rest, style="dim"))
    return line


def _training(board: Board, now: datetime, width: int) -> Table:
    """Progress bar, loss with its history, validation loss, speed."""
    progress = board.progress
    step, total = int(progress.get("step") or 0), int(progress.get("totalSteps") or 0)
    left = remaining(progress, now) if step < total else ""
    table = _grid()
    table.add_row("training", _bar(100 * step / total if total else 0, f"step {step}/{total}{left}"))
    if board.losses:
        history = [board.losses[at] for at in sorted(board.losses)]
        line = Text(sparkline(history, max(10, min(50, width - 34))), style="cyan")
        table.add_row("loss", Text.assemble((number(str(history[-1])), "bold"), "  ", line))
    if board.eval_losses:
        ordered = [board.eval_losses[at] for at in sorted(board.eval_losses)]
        trend = f"  from {number(str(ordered[0]))}" if len(ordered) > 1 else ""
        table.add_row("eval loss", Text.assemble((number(str(ordered[-1])), "bold"), (trend, "dim")))
    if progress.get("tokensPerSecond"):
        table.add_row("speed", Text(f"{progress['tokensPerSecond']:,} tokens/s"))
    return table


def _evaluating(board: Board, now: datetime) -> Table:
    progress = board.eval_progress
    where = " · ".join(filter(None, [str(progress.get("candidate") or ""), str(progress.get("task") or "")]))
    seconds = progress.get("remainingSeconds")
    left = f"  {duration(seconds)} left" if seconds else remaining(progress, now)
    table = _grid()
    table.add_row("evaluating", _bar(float(progress.get("percent") or 0), where + left))
    return table


def remaining(progress: Object, now: datetime) -> str:
    """Return `  3m00s left`, or nothing."""
    end = moment(progress.get("estimatedCompletionTime"))
    return f"  {duration((end - now).total_seconds())} left" if end is not None and end > now else ""


def _conditions(board: Board) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    table.add_column()
    for kind in board.condition_types:
        entry = condition(board.run, kind)
        if not entry or (entry.get("status") == "Unknown" and not entry.get("message")):
            continue
        mark, style = _MARKS.get(entry.get("status", ""), _MARKS["Unknown"])
        if kind in _QUIET_WHEN_FALSE and entry.get("status") == "False":
            mark, style = "○", "dim"
        if kind in _BAD_WHEN_TRUE:
            if entry.get("status") != "True":
                continue
            mark, style = "●", "red"
        reason, message = str(entry.get("reason") or ""), _short(entry)
        plain = mark != "○" and kind not in _BAD_WHEN_TRUE and message
        detail = Text(message, style="dim") if plain else Text(reason).append(f"  {message}", style="dim")
        table.add_row(Text(mark, style=style), kind, detail)
    return table


def _short(entry: Object) -> str:
    text = " ".join(str(entry.get("message") or "").split())
    return text if len(text) <= 160 else text[:157] + "..."


def _troubles(board: Board) -> list[RenderableType]:
    """Failed attempts, what the run waits for in full, and a lost connection."""
    parts: list[RenderableType] = []
    attempts = [*((board.run.get("status") or {}).get("attempts") or [])]
    bad = [attempt for attempt in attempts if attempt.get("exitCode") not in (None, 0)]
    for attempt in bad[-3:]:
        reached = f" at step {attempt['lastStep']}" if attempt.get("lastStep") else ""
        parts.append(
            Text(
                f"attempt {attempt['number']} ({attempt['stage']}) ended: {attempt.get('reason')}{reached}",
                style="yellow",
            )
        )
    if waiting := board.waiting_for:
        parts += [Text(""), Text(waiting, style="yellow" if board.phase != "Failed" else "red")]
    if board.notice:
        parts.append(Text(board.notice, style="yellow"))
    return parts


class PlainLines:
    """Turns a board into lines for a log: one for each change that a person would tell another."""

    def __init__(self) -> None:
        self._said: dict[str, Any] = {}
        self._next_step = 0

    def changes(self, board: Board) -> list[str]:
        """Return the lines that are new since the last call."""
        lines = [text for key, text in _facts(board).items() if text and self._said.get(key) != text]
        self._said |= _facts(board)
        return lines + self._steps(board)

    def _steps(self, board: Board) -> list[str]:
        """A line at about every tenth of training."""
        step, total = int(board.progress.get("step") or 0), int(board.progress.get("totalSteps") or 0)
        if not total or step < min(self._next_step, total) or self._said.get("step") == step:
            return []
        self._next_step, self._said["step"] = step + max(1, total // 10), step
        facts = [f"step {step}/{total}"]
        facts += [
            f"{name} {number(board.progress[key])}"
            for name, key in (("loss", "loss"), ("eval loss", "evalLoss"))
            if board.progress.get(key)
        ]
        speed = board.progress.get("tokensPerSecond")
        return ["training: " + ", ".join(facts + ([f"{speed:,} tokens/s"] if speed else []))]


def _facts(board: Board) -> dict[str, str]:
    facts = {"phase": f"{board.name}: {board.phase}", "waiting": board.waiting_for, "notice": board.notice}
    data = (board.run.get("status") or {}).get("dataset") or {}
    if data.get("examples"):
        held_out = f", {data['heldOut']} held out" if data.get("heldOut") else ""
        facts["data"] = f"data: {data['examples']} examples, {data.get('tokens', 0):,} tokens{held_out}"
    task = board.eval_progress.get("task")
    if task and not board.done:
        facts["task"] = f"evaluating: {board.eval_progress.get('candidate')} on {task}"
    return facts
