"""Evaluations of tiny models in this process."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubetune_api.report import FinalLine
from kubetune_api.run import RunFile
from kubetune_trainer.paths import open_workspace
from kubetune_trainer.recipes import evaluate
from kubetune_trainer.reporting import Reporter
from unit.trainer import tiny

QUICK = {"resamples": 400}


@dataclass
class World:
    """A folder with models and held-out rows."""

    folder: Path

    def model(self, name: str, **changes: Any) -> dict[str, str]:
        """Return the source of a tiny model of that name."""
        path = self.folder / name
        return {"uri": (path if path.exists() else tiny.write_model(path, **changes)).as_uri()}

    def rows(self, name: str, rows: list[Any]) -> str:
        """Write rows and return their uri."""
        return tiny.write_rows(self.folder / name, rows).as_uri()

    def run_file(self, candidates: list[Any], tasks: list[Any], **evaluation: Any) -> RunFile:
        """Return a run file."""
        document = {
            "stage": "evaluate",
            "run": {"kind": "EvalRun", "namespace": "team", "name": "tiny-eval", "uid": "2"},
            "workspace": str(self.folder / "ws"),
            "workspaceUri": "pvc://tiny-ws",
            "compute": {"cpu": 1},
            "evaluation": {
                "candidates": candidates,
                "tasks": tasks,
                "comparison": QUICK,
                "report": "tiny-eval",
                **evaluation,
            },
        }
        return RunFile.model_validate(document)

    def evaluate(self, candidates: list[Any], tasks: list[Any], **evaluation: Any) -> tuple[FinalLine, str]:
        """Run an evaluation; returns its end and its log."""
        run, log = self.run_file(candidates, tasks, **evaluation), io.StringIO()
        return evaluate.run(run, open_workspace(run), Reporter(log)), log.getvalue()

    @property
    def report(self) -> Path:
        """Folder of the report."""
        return self.folder / "ws" / "reports" / "tiny-eval"

    def document(self) -> dict[str, Any]:
        """Return report.json."""
        found: dict[str, Any] = json.loads((self.report / "report.json").read_text())
        return found

    def predictions(self, task: str, candidate: str) -> list[dict[str, Any]]:
        """Return the predictions of a candidate on a task."""
        text = (self.report / "predictions" / f"{task}.{candidate}.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]


def held_out(count: int = 24) -> list[dict[str, str]]:
    """Return rows with a label and a group of two rows each."""
    rows = tiny.questions(count, start=500)
    return [row | {"label": row["output"].split()[0], "group": f"g{i // 2}"} for i, row in enumerate(rows)]


def task(kind: str, uri: str, name: str = "", **more: Any) -> dict[str, Any]:
    """Return a task on held-out rows."""
    short = {} if kind == "Perplexity" else {"maxNewTokens": 6}
    return {"name": name or kind.lower(), "type": kind, "dataset": {"uri": uri}, **short, **more}
