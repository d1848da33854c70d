"""`kubetune results NAME`: the verdict of a run, from its status."""

from collections.abc import Callable
from typing import Any

from .access import ApiError, Cluster
from .board import Board, condition, finished, is_true
from .errors import ExitCode

Object = dict[str, Any]


def run_results(cluster: Cluster, name: str, *, everything: bool = False) -> ExitCode:
    """Print the verdict of a FineTuneJob or an EvalRun."""
    board = Board(cluster.find(name))
    see_evaluation(cluster, board)
    show(board, everything=everything)
    return board.exit_code if finished(board.run) else ExitCode.DONE


def see_evaluation(cluster: Cluster, board: Board) -> None:
    """Let a board see the owned EvalRun, unless somebody has deleted it."""
    if not board.evaluation_name:
        return
    try:
        board.see(cluster.request("GET", cluster.path("EvalRun", board.evaluation_name)))
    except ApiError as error:
        if error.status != 404:
            raise
        board.evaluation_gone = True


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
    elif board.evaluation_gone:
        verdict_line = str((board.run.get("status") or {}).get("verdict") or "")
        console.print(Text(f"EvalRun {board.evaluation_name} was deleted. {verdict_line}".strip(), style="yellow"))
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
