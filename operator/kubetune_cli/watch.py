"""`kubetune watch NAME`: follows a run until it ends, then shows the verdict."""

import contextlib
import sys
import time
from datetime import UTC, datetime

from .access import Cluster
from .board import Board, finished
from .errors import CliError, ExitCode
from .follow import Deleted, Follower, Notice
from .results import see_evaluation, show

REFRESH = 0.25


def run_watch(cluster: Cluster, name: str, *, plain: bool, timeout: float | None = None) -> ExitCode:
    """Follow a run, print its verdict, and return what became of it."""
    board = watch(cluster, cluster.find(name), plain=plain, timeout=timeout)
    show(board)
    return board.exit_code


def watch(cluster: Cluster, run: dict[str, object], *, plain: bool, timeout: float | None = None) -> Board:
    """Follow a run until it ends and return what is known then.

    Raises:
        CliError: it was deleted, or `timeout` seconds have passed.
    """
    board = Board(run)
    board.see(run)
    if finished(run):
        see_evaluation(cluster, board)
    follower = Follower(cluster, run)
    try:
        screen = _Plain() if plain or not sys.stdout.isatty() else _Live()
        with screen:
            _loop(board, follower, screen, None if timeout is None else time.monotonic() + timeout)
    finally:
        follower.close()
    return board


def _loop(board: Board, follower: Follower, screen: "_Plain | _Live", deadline: float | None) -> None:
    while True:
        for news in follower.news(REFRESH):
            if isinstance(news, dict):
                board.see(news)
            elif isinstance(news, Notice):
                board.notice = news.text
            elif isinstance(news, Deleted):
                if news.kind == board.kind:
                    raise CliError(f"{board.kind} {board.name} was deleted while it was watched")
                board.evaluation_gone = True
            else:
                board.hear(news)
            screen.show(board)
        if board.evaluation_name:
            follower.follow_evaluation(board.evaluation_name)
        screen.show(board)
        if board.done:
            return
        if deadline is not None and time.monotonic() > deadline:
            raise CliError(f"{board.name} is still {board.phase}", "it goes on; watch again", ExitCode.TIMED_OUT)


class _Plain(contextlib.AbstractContextManager["_Plain"]):
    """Lines with a clock, for logs and pipes."""

    def __init__(self) -> None:
        from .view import PlainLines

        self._lines = PlainLines()

    def show(self, board: Board) -> None:
        for line in self._lines.changes(board):
            print(f"{datetime.now():%H:%M:%S} {line}", flush=True)

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()


class _Live(contextlib.AbstractContextManager["_Live"]):
    """A picture that renews itself in place, and stays when it is done."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(highlight=False)
        self._live = Live(console=self._console, refresh_per_second=4, transient=False)

    def __enter__(self) -> "_Live":
        self._live.__enter__()
        return self

    def show(self, board: Board) -> None:
        from .view import live

        self._live.update(live(board, datetime.now(UTC), self._console.width))

    def __exit__(self, *details: object) -> None:
        self._live.__exit__(*details)  # type: ignore[arg-type]
