"""Runs of tiny jobs in this process."""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubetune_api.report import FinalLine
from kubetune_api.run import RunFile
from kubetune_trainer.paths import Workspace, open_workspace
from kubetune_trainer.recipes import prepare, train
from kubetune_trainer.reporting import Reporter
from unit.trainer import tiny


@dataclass
class Job:
    """A model, data and a workspace in one folder."""

    folder: Path
    model: Path
    data: Path

    @property
    def workspace(self) -> Workspace:
        """The job's workspace."""
        return Workspace(self.folder / "ws", "pvc://tiny-ws")

    @property
    def artifacts(self) -> Path:
        """Where the tuned model lies."""
        return self.workspace.artifacts

    def run_file(self, stage: str, **changes: Any) -> RunFile:
        """Return a run file of this job."""
        return tiny.run_file(stage, self.folder / "ws", self.model, self.data, **changes)

    def prepare(self, **changes: Any) -> tuple[FinalLine, str]:
        """Run the prepare stage; returns its end and its log."""
        run, log = self.run_file("prepare", **changes), io.StringIO()
        return prepare.run(run, open_workspace(run), Reporter(log)), log.getvalue()

    def train(self, **changes: Any) -> tuple[FinalLine, str]:
        """Run the train stage; returns its end and its log."""
        run, log = self.run_file("train", **changes), io.StringIO()
        return train.run(run, open_workspace(run), Reporter(log)), log.getvalue()

    def again(self, folder: Path) -> Job:
        """Return a copy with a workspace of its own that holds the prepared data only."""
        shutil.copytree(self.workspace.data, folder / "ws" / "data")
        return Job(folder, self.model, self.data)


def new_job(folder: Path, kind: str = "llama", rows: int = 160, **changes: Any) -> Job:
    """Return a job that has not run yet; `changes` go to the model's config."""
    folder.mkdir(parents=True, exist_ok=True)
    model = tiny.write_model(folder / "model", kind, **changes)
    return Job(folder, model, tiny.write_rows(folder / "train.jsonl", tiny.questions(rows)))
