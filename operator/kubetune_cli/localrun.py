"""`kubetune local run FILE`: validate, bring the cluster up, apply, follow, and say what came of it."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from .access import ApiError, Cluster, Where
from .admission import is_foreign
from .board import Board, finished
from .errors import CliError, ExitCode
from .localcluster import APPLY_TYPE, bring_up
from .localstate import LocalState
from .manifests import read_documents
from .results import see_evaluation
from .validate import check, missing_files

Object = dict[str, Any]
APPLY = {"fieldManager": "kubetune-cli", "fieldValidation": "Strict"}


def run_manifest(state: LocalState, options: Namespace) -> ExitCode:
    """Run a manifest to its verdict and return what became of it."""
    wanted = _the_run(options.file)
    fresh = bring_up(state, control_plane=options.control_plane, accelerators=options.accelerator)
    cluster = Cluster(Where(kubeconfig=str(state.kubeconfig)))
    print(f"cluster   {'started' if fresh else 'running'} in {state.directory}", flush=True)
    run = _apply(cluster, wanted, again=options.again)
    kind, name = run["kind"], run["metadata"]["name"]
    if finished(run):
        print(f"{kind} {name} has finished already with this spec; --again runs it anew", flush=True)
        board = Board(run)
        see_evaluation(cluster, board)
    else:
        print(f"applied   {kind} {name}\n", flush=True)
        from .watch import watch

        try:
            board = watch(cluster, run, plain=options.plain)
        except KeyboardInterrupt:
            print(f"\n{name} goes on. kubetune watch {name} follows it again; kubetune local down stops everything.")
            return ExitCode.INTERRUPTED
    _say_outcome(state, cluster, board)
    return board.exit_code


def _the_run(file: str) -> Object:
    """Return the one run of a manifest, after a look at it and at the files it names.

    Raises:
        CliError: the manifest has mistakes (they are printed), or not exactly one run.
    """
    documents = read_documents(file)
    mistakes = check(documents) or missing_files(documents)
    if mistakes:
        colour = sys.stderr.isatty()
        sys.stderr.writelines(entry.render(colour) + "\n\n" for entry in mistakes)
        raise CliError(f"{file} has {len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}; nothing was applied")
    if len(documents) != 1 or is_foreign(documents[0]):
        hint = "give a manifest of one run alone, or use kubectl apply and kubetune watch"
        raise CliError(f"{file} has {', '.join(document.kind for document in documents) or 'no documents'}", hint)
    run: Object = documents[0].value
    return run


def _apply(cluster: Cluster, wanted: Object, *, again: bool) -> Object:
    """Apply the run by server-side apply; with `again`, under a fresh name when one of its name has finished."""
    try:
        run = _server_side_apply(cluster, wanted)
    except ApiError as error:
        if "immutable" not in error.message and "cannot be added or removed" not in error.message:
            raise
        if not again:
            name = wanted["metadata"]["name"]
            raise CliError(
                f"{wanted['kind']} {name} exists with another spec, and a run's spec does not change",
                f"--again makes a new run beside it; or kubectl delete {wanted['kind'].lower()} {name}",
            ) from error
        return _server_side_apply(cluster, _renamed(cluster, wanted))
    if again and finished(run):
        return _server_side_apply(cluster, _renamed(cluster, wanted))
    return run


def _server_side_apply(cluster: Cluster, wanted: Object) -> Object:
    path = cluster.path(wanted["kind"], wanted["metadata"]["name"])
    return cluster.request("PATCH", path, wanted, query=APPLY, content_type=APPLY_TYPE)


def _renamed(cluster: Cluster, wanted: Object) -> Object:
    """Return the run under the first of NAME-2, NAME-3, ... that is free."""
    name = wanted["metadata"]["name"]
    taken = {item["metadata"]["name"] for item in cluster.request("GET", cluster.path(wanted["kind"])).get("items", [])}
    number = next(count for count in range(2, len(taken) + 3) if f"{name}-{count}" not in taken)
    return {**wanted, "metadata": {**wanted["metadata"], "name": f"{name}-{number}"}}


def _say_outcome(state: LocalState, cluster: Cluster, board: Board) -> None:
    """Print the verdict and what to do next."""
    from .results import show
    from .volumes import local_path

    show(board, place=lambda uri: str(local_path(cluster, uri) or uri))
    here = "" if str(state.directory) == ".kubetune" else f" --directory {state.directory}"
    config = _short_path(state.kubeconfig)
    print("\nNext:")
    if board.kind == "FineTuneJob" and board.exit_code is not ExitCode.FAILED:
        print(f"  kubetune local chat {board.name}{here}        ask the tuned model (--base: as it was before)")
    elif board.exit_code is ExitCode.FAILED:
        print(f"  kubetune local logs {board.name}{here}        the log of the pod that failed")
    print(f"  kubetune results {board.name} --all --kubeconfig {config}")
    print(f"  kubectl --kubeconfig {config} describe {board.kind.lower()} {board.name}")
    print(f"  kubetune local down{here}        end the cluster; runs and models stay in {state.directory}")


def _short_path(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
