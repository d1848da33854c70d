"""`kubetune local chat NAME`: asks the tuned model, in a process of the trainer."""

import subprocess
from argparse import Namespace

from kubetune_api.run import Layout

from .access import Cluster, Object, Where
from .errors import CliError
from .localstate import LocalState, python
from .volumes import local_path

TUNED = ("Merged", "Adapter")


def run_chat(state: LocalState, options: Namespace) -> int:
    """Ask the model of a finished FineTuneJob; returns the exit code of the program that answers."""
    cluster = Cluster(Where(kubeconfig=str(state.kubeconfig)))
    run = cluster.get("FineTuneJob", options.name)
    command = [*python("kubetune_trainer.generate"), *_model(cluster, run, base=options.base)]
    command += ["--max-new-tokens", str(options.max_new_tokens)]
    if options.prompt is not None:
        command += ["--prompt", options.prompt]
    return subprocess.run(command, check=False).returncode


def _model(cluster: Cluster, run: Object, *, base: bool) -> list[str]:
    """Return the arguments that name the model, and the folder in which the run has kept it ready to load."""
    base_uri = run["spec"]["model"]["uri"]
    artifacts = {entry["type"]: entry["uri"] for entry in (run.get("status") or {}).get("artifacts") or []}
    if base:
        return ["--model", base_uri, *_kept(cluster, artifacts)]
    kind = next((kind for kind in TUNED if kind in artifacts), None)
    if kind is None:
        phase = (run.get("status") or {}).get("phase", "Pending")
        raise CliError(
            f"{run['metadata']['name']} has no tuned model yet: it is {phase}", "--base asks the model it starts from"
        )
    folder = local_path(cluster, artifacts[kind])
    if folder is None or not folder.exists():
        raise CliError(
            f"{artifacts[kind]} is not on this machine", "copy it here and run python -m kubetune_trainer.generate"
        )
    if kind == "Merged":
        return ["--model", f"file://{folder}"]
    return ["--model", base_uri, "--adapter", str(folder), *_kept(cluster, artifacts)]


def _kept(cluster: Cluster, artifacts: dict[str, str]) -> list[str]:
    """Return the model cache of the run's workspace as an argument: nothing is fetched or converted a second time."""
    uri = next((uri for uri in artifacts.values() if f"/{Layout.ARTIFACTS}/" in uri), None)
    workspace = local_path(cluster, uri.rpartition(f"/{Layout.ARTIFACTS}/")[0]) if uri else None
    cache = workspace / Layout.MODELS if workspace else None
    return ["--cache", str(cache)] if cache is not None and cache.is_dir() else []
