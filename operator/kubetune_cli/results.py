"""`kubetune results NAME`: the verdict of a run, from its status."""

from collections.abc import Callable
from typing import Any

from .access import Cluster
from .board import Board, condition, finished, is_true
from .errors import ExitCode

Object = dict[str, Any]


def run_results(cluster: Cluster, name: str, *, everything: bool = False) -> ExitCode:
    """Print the verdict of a FineTuneJob or an EvalRun."""
    board = Board(cluster.find(name))
    if board.evaluation_name:
        board.see(cluster.get("EvalRun", board.evaluation_name))
    show(board, everything=everything)
    return board.exit_code if finished(board.run) else ExitCode.DONE


def show(board: Board, *, everything: bool = False, place: Callable[[str], str] = str) -> None:
    """Print what became of a run, and where its things lie (`place` turns a uri into what to print)."""
    from rich.console import Console
    from rich.text import Text

    from .verdict import verdict

    console = Console(highlight=False)
    console.print()
    if is_true(board.run, "Failed"):
        failed = condition(board.run, "Failed")
        console.print(Text(f"{board.name} failed: {failed.get('reason')}", style="bold red"))
        console.print(Text(str(failed.get("message") or ""), style="red"))
    elif not finished(board.run):
        console.print(Text(f"{board.name} is {board.phase}. {board.waiting_for}", style="yellow"))
    if board.judged is not None:
        console.print(verdict(board.judged, everything=everything))
    elif is_true(board.run, "Succeeded"):
        console.print(
            Text("The job has no evaluation; add spec.evaluation to learn whether tuning helped.", style="dim")
        )
    for line in _places(board, place):
        console.print(Text(line), soft_wrap=True)


def _places(board: Board, place: Callable[[str], str]) -> list[str]:
    """Return where artifacts and the report lie."""
    artifacts = (board.run.get("status") or {}).get("artifacts") or []
    lines = [f"{entry['type'].lower():<9} {place(entry['uri'])}" for entry in artifacts]
    report = ((board.judged or {}).get("status") or {}).get("report")
    return ([""] if lines or report else []) + lines + ([f"report    {place(report)}"] if report else [])
