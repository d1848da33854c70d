"""What `watch` knows and shows: objects and report lines folded into a board, the board as picture and as lines."""

from datetime import UTC, datetime
from io import StringIO
from typing import Any

from rich.console import Console

from kubetune_api.ftjstatus import Progress
from kubetune_api.report import EvalProgressLine, ProgressLine
from kubetune_cli.board import Board
from kubetune_cli.errors import ExitCode
from kubetune_cli.view import PlainLines, live

NOW = datetime(2026, 11, 24, 12, 5, tzinfo=UTC)


def condition(kind: str, status: str, reason: str = "Because", message: str = "") -> dict[str, Any]:
    """Return a condition."""
    return {"type": kind, "status": status, "reason": reason, "message": message}


def job(*conditions: dict[str, Any], **status: Any) -> dict[str, Any]:
    """Return a FineTuneJob that was made five minutes before NOW."""
    return {
        "kind": "FineTuneJob",
        "metadata": {"name": "bot", "uid": "u1", "creationTimestamp": "2026-11-24T12:00:00Z"},
        "spec": {},
        "status": {"phase": "Training", "conditions": list(conditions), **status},
    }


def evaluation(*conditions: dict[str, Any], gates: bool = True, **status: Any) -> dict[str, Any]:
    """Return the EvalRun that the job owns."""
    spec = {"gates": [{"name": "g", "metric": "a/b"}] if gates else []}
    return {
        "kind": "EvalRun",
        "metadata": {"name": "bot-eval"},
        "spec": spec,
        "status": {"conditions": list(conditions), **status},
    }


def step(number: int, loss: str, **more: Any) -> ProgressLine:
    """Return a report line of training."""
    return ProgressLine(progress=Progress(step=number, total_steps=40, loss=loss, **more))


def picture(board: Board, width: int = 80) -> str:
    """Return the live view as text."""
    console = Console(file=StringIO(), width=width, color_system=None)
    console.print(live(board, NOW, width))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_shows_phase_progress_loss_speed_and_time_left() -> None:
    board = Board(job(condition("Running", "True", "PodRunning", "on node-1")))
    for number in range(1, 21):
        board.hear(step(number, str(4 - number / 10), tokens_per_second=512))
    board.hear(step(20, "2.0", eval_loss="2.31", estimated_completion_time="2026-11-24T12:07:05Z"))
    text = picture(board)
    assert "bot  Training  5m00s" in text
    assert "50 %  step 20/40  2m05s left" in text
    assert "loss        2.00  █" in text
    assert "▂▁" in text
    assert "eval loss   2.31" in text
    assert "512 tokens/s" in text
    assert "● Running on node-1" in text


def test_fits_80_columns_with_a_long_message() -> None:
    board = Board(job(condition("Admitted", "False", "Unschedulable", "0/1 nodes: " + "insufficient gpu " * 20)))
    assert max(map(len, picture(board).splitlines())) <= 80


def test_an_older_status_does_not_turn_back_the_log() -> None:
    board = Board(job())
    board.hear(step(20, "2.0"))
    board.see(job(progress={"step": 10, "totalSteps": 40, "loss": "3.0"}))
    assert board.progress["step"] == 20
    assert board.losses == {20: 2.0, 10: 3.0}


def test_says_what_the_run_waits_for() -> None:
    message = "no node has nvidia.com/gpu; declare one, or set accelerator.count: 0"
    board = Board(job(condition("Admitted", "False", "Unschedulable", message)))
    assert board.waiting_for == f"Unschedulable: {message}"


def test_is_done_when_the_evaluation_is_done_too() -> None:
    board = Board(job(condition("Succeeded", "True"), evaluation="bot-eval"))
    assert not board.done
    board.see(evaluation(condition("Succeeded", "True")))
    assert board.done


def test_a_failed_run_is_done_without_its_evaluation() -> None:
    board = Board(
        job(condition("Failed", "True", "BadDataset", "train.jsonl row 3: content is null"), evaluation="bot-eval")
    )
    assert board.done
    assert board.exit_code == ExitCode.FAILED
    assert "train.jsonl row 3" in picture(board)


def test_the_exit_code_tells_gates_from_failures() -> None:
    succeeded = job(condition("Succeeded", "True"))
    ended = condition("Succeeded", "True")
    outcomes = {
        ExitCode.DONE: evaluation(ended, condition("GatesPassed", "True")),
        ExitCode.GATES_FAILED: evaluation(ended, condition("GatesPassed", "False")),
        ExitCode.FAILED: evaluation(condition("Failed", "True")),
    }
    for code, judged in outcomes.items():
        board = Board(succeeded)
        board.see(judged)
        assert board.exit_code == code
    without_gates = Board(succeeded)
    without_gates.see(evaluation(ended, condition("GatesPassed", "Unknown"), gates=False))
    assert without_gates.exit_code == ExitCode.DONE


def test_failed_attempts_are_shown() -> None:
    attempt = {"number": 1, "stage": "train", "exitCode": 137, "reason": "Killed", "lastStep": 12}
    assert "attempt 1 (train) ended: Killed at step 12" in picture(Board(job(attempts=[attempt])))


def test_evaluation_shows_candidate_and_task() -> None:
    board = Board(job())
    board.hear(EvalProgressLine(percent=40, candidate="tuned", task="docstring", remaining_seconds=70))
    assert "40 %  tuned · docstring  1m10s left" in picture(board)


def test_plain_lines_tell_each_change_once() -> None:
    lines, board = PlainLines(), Board(job(dataset={"examples": 900, "tokens": 90000, "heldOut": 120}))
    assert lines.changes(board) == ["bot: Training", "data: 900 examples, 90,000 tokens, 120 held out"]
    assert lines.changes(board) == []


def test_plain_lines_tell_about_every_tenth_of_training() -> None:
    lines, board, told = PlainLines(), Board(job()), []
    for number in range(1, 41):
        board.hear(step(number, "2.5"))
        told += [line for line in lines.changes(board) if line.startswith("training")]
    assert told[:2] == ["training: step 1/40, loss 2.50", "training: step 5/40, loss 2.50"]
    assert len(told) == 11
    assert told[-1].startswith("training: step 40/40") or told[-1].startswith("training: step 37/40")
