"""`python -m kubetune_trainer run.json`: one stage of one run, its result as exit code and report."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kubetune_api.exits import REASONS, Exit
from kubetune_api.fields import DECIMAL_PATTERN
from kubetune_api.report import FinalLine
from kubetune_api.run import RUN_FILE_PATH, RunFile

from .engine.launch import is_launcher, is_worker, launch
from .engine.rendezvous import threads
from .errors import BadSpec, Checkpointed, as_trainer_error
from .paths import open_workspace, real_path
from .reporting import Reporter, clean_output, without_credentials

QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the stage of a run file; returns the exit code (see kubetune_api.exits)."""
    parser = argparse.ArgumentParser("kubetune-trainer", description="Run one stage of a KubeTune run.")
    parser.add_argument("run_file", nargs="?", default=RUN_FILE_PATH, help="run.json as the operator writes it")
    options = parser.parse_args(arguments)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if arguments is None:  # the process is all ours
        clean_output()
    reporter = Reporter(worker=is_worker())
    _stop_on_sigterm()
    try:
        run = read_run_file(real_path(options.run_file))
        _limit_threads(run)
        if is_launcher(run):
            final = launch(run, Path(options.run_file))
        else:
            recipe = importlib.import_module(f"kubetune_trainer.recipes.{run.stage.value}")
            final = recipe.run(run, open_workspace(run), reporter)
    except (Exception, KeyboardInterrupt) as error:
        final = _failure(error)
    reporter.final(final)
    return final.exit_code


def _stop_on_sigterm() -> None:
    """End on SIGTERM as on Ctrl-C: the first process of a container ignores it otherwise, until the grace is over.

    Training and evaluation listen themselves while there is something to save.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def read_run_file(path: Path) -> RunFile:
    """Return a run file.

    Raises:
        BadSpec: it is missing, not JSON, or not a run file; the message names the field.
    """
    try:
        return RunFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadSpec(f"cannot read the run file {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise BadSpec(f"run file {path}: {_problem(dict(first))}") from error


def _problem(first: dict[str, Any]) -> str:
    """Return what is wrong in which field, and what to write there."""
    field = ".".join(str(part) for part in first["loc"]) or "the document"
    if first["type"] == "string_pattern_mismatch" and first["ctx"]["pattern"] == DECIMAL_PATTERN:
        return f"{field}: {first['input']!r} is no decimal; write for example 2e-4 or 0.05, as text"
    if first["type"] == "extra_forbidden":
        return f"{field}: there is no such field; check its spelling and the version of the trainer's image"
    return f"{field}: {first['msg']}"


def _limit_threads(run: RunFile) -> None:
    """Use as many threads as the pod has cores, shared by its processes: libraries count those of the node."""
    os.environ["OMP_NUM_THREADS"] = str(threads(run))


def _failure(error: BaseException) -> FinalLine:
    known = as_trainer_error(error)
    if known is not error and not isinstance(known, Checkpointed):
        print(without_credentials("".join(traceback.format_exception(error))), file=sys.stderr, end="", flush=True)
    if not isinstance(known, Checkpointed):
        print(without_credentials(f"error: {known.message}"), file=sys.stderr, flush=True)
    return FinalLine(exit_code=known.exit_code, reason=known.reason, message=known.message)


def done(message: str) -> FinalLine:
    """Return the Final line of a stage that ended well."""
    return FinalLine(exit_code=Exit.DONE, reason=REASONS[Exit.DONE], message=message)


if __name__ == "__main__":
    sys.exit(main())
