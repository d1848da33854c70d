"""The commands and their options."""

import argparse

from kubetune_api import __version__

_CLUSTER = argparse.ArgumentParser(add_help=False)
_CLUSTER.add_argument("-n", "--namespace", help="namespace; the context's own when absent")
_CLUSTER.add_argument("--context", help="context of the kubeconfig")
_CLUSTER.add_argument(
    "--kubeconfig", help="kubeconfig file; else $KUBECONFIG, a local cluster running in this folder, ~/.kube/config"
)

_LOCAL = argparse.ArgumentParser(add_help=False)
_LOCAL.add_argument("--directory", default=".kubetune", metavar="DIR", help="where the local cluster lives (.kubetune)")

_UP = argparse.ArgumentParser(add_help=False)
_UP.add_argument(
    "--control-plane",
    action="store_true",
    help="real etcd, kube-apiserver and controllers from $KUBEBUILDER_ASSETS instead of the embedded ones",
)
_UP.add_argument(
    "--accelerator",
    action="append",
    default=[],
    metavar="RESOURCE=COUNT",
    help="declare accelerators of this machine, for example nvidia.com/gpu=1 (repeatable)",
)

_REFERENCE = "NAME, ftj/NAME or evr/NAME"


def parser(program: str) -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = argparse.ArgumentParser(prog=program, description="Fine-tune and evaluate language models on Kubernetes.")
    top.add_argument("--version", action="version", version=f"kubetune {__version__}")
    top.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _local(commands)
    validate = commands.add_parser("validate", help="say what the API server and the operator would refuse, and where")
    validate.add_argument("file", nargs="+", help="manifests, or - for standard input")
    plan = commands.add_parser("plan", help="show the children that the operator would make, and the memory estimate")
    plan.add_argument("file", help="manifest, or - for standard input")
    plan.add_argument("-q", "--quiet", action="store_true", help="YAML only")
    watch = commands.add_parser("watch", parents=[_CLUSTER], help="follow a run until it ends")
    watch.add_argument("name", help=_REFERENCE)
    watch.add_argument("--plain", action="store_true", help="one line for each change, as without a terminal")
    watch.add_argument("--timeout", type=float, metavar="SECONDS", help="stop watching after so long (exit code 4)")
    explain = commands.add_parser(
        "explain", parents=[_CLUSTER], help="say what a run does or waits for, since when, and what to do"
    )
    explain.add_argument("name", help=_REFERENCE)
    kinds = ("finetunejob", "ftj", "evalrun", "evr")
    explain.add_argument("--kind", type=str.lower, choices=kinds, help="kind of the run, for a bare NAME")
    explain.add_argument("-o", "--output", choices=("text", "json"), default="text", help="text for people (default)")
    results = commands.add_parser("results", parents=[_CLUSTER], help="show the verdict of a run")
    results.add_argument("name", help=_REFERENCE)
    results.add_argument("--all", action="store_true", help="every metric, not only the main ones")
    return top


def _local(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    local = commands.add_parser("local", help="a cluster in this folder: no container, no root, no set-up")
    actions = local.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("up", parents=[_LOCAL, _UP], help="start the cluster and the operator (or find them running)")
    down = actions.add_parser("down", parents=[_LOCAL], help="end them; the data stay")
    down.add_argument("--delete", action="store_true", help="delete the folder with all runs and models as well")
    actions.add_parser("status", parents=[_LOCAL], help="what runs here")
    run = actions.add_parser("run", parents=[_LOCAL, _UP], help="apply a manifest and follow the run to its verdict")
    run.add_argument("file", help="manifest of one FineTuneJob or EvalRun")
    run.add_argument("--again", action="store_true", help="run anew although the same run has finished")
    run.add_argument("--plain", action="store_true", help="one line for each change, as without a terminal")
    chat = actions.add_parser("chat", parents=[_LOCAL], help="ask a tuned model")
    chat.add_argument("name", help="FineTuneJob whose model answers")
    chat.add_argument("--prompt", help="one question; a conversation on the terminal when absent")
    chat.add_argument("--base", action="store_true", help="let the model answer as it was before tuning")
    chat.add_argument("--max-new-tokens", type=int, default=128, metavar="N")
    logs = actions.add_parser("logs", parents=[_LOCAL], help="print the log of a run's newest pod")
    logs.add_argument("name", help=f"{_REFERENCE}, operator or cluster")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as lines come")
