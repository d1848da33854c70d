"""`reports/training.json`: how training ended, written last; a finished stage that runs again reads it and is done."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from kubetune_api.report import FinalLine

from . import durable
from .progress import History

if TYPE_CHECKING:
    from .loop import State


class Result:
    """The result file of one run."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        self._path, self._fingerprint = path, fingerprint

    def read(self, artifacts: Iterable[Path]) -> FinalLine | None:
        """Return how this very run ended when it did, and all that it made is still whole; otherwise None."""
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
            if document["fingerprint"] != self._fingerprint:
                return None
            final = FinalLine.model_validate(document["final"])
        except (OSError, ValueError, KeyError, TypeError, ValidationError):
            return None
        made = {item.uri.rpartition("/")[2] for item in final.artifacts or []}
        whole = {folder.name for folder in artifacts if durable.intact(folder)}
        return final if made <= whole else None

    def write(self, final: FinalLine, history: History, state: State) -> None:
        """Write the result; from now on the run has ended."""
        losses = [entry for entry in history.entries if "loss" in entry]
        evaluations = [entry for entry in history.entries if "evalLoss" in entry]
        document = {
            "fingerprint": self._fingerprint,
            "final": final.dump(),
            "state": state.dump(),
            "losses": losses[-1000:],
            "evaluations": evaluations[-1000:],
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        durable.write_json(self._path, document)
