"""Resumable states on disk: `checkpoints/step-00000120.e00003.<nonce>/`: tensors, scalars and a manifest.

    write     aside -> sync -> sizes and SHA-256 in manifest.json -> rename       (a half-written one has no name)
    resume    newest by epoch, then step, that verifies and belongs to this run   (a damaged one is passed over)

The name has the epoch of the writer and a nonce: whatever a process writes late, it replaces no other checkpoint, and
comes after all that a newer epoch has written.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import TrainerError
from . import durable

_TENSORS = "state.safetensors"
_SCALARS = "state.json"
_BEST = "best"
_NAME = re.compile(r"step-(?P<step>\d+)(\.e(?P<epoch>\d+)\.\w+)?")


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds."""

    step: int
    tensors: dict[str, Tensor]
    scalars: dict[str, Any]
    folder: Path


class Checkpoints:
    """The checkpoints of one run; those of other runs in the same folder are left alone."""

    def __init__(self, folder: Path, fingerprint: str, keep: int, *, owner: str = "", epoch: int = 1) -> None:
        self._folder, self._fingerprint, self._keep = folder, fingerprint, keep
        self._owner, self._epoch = owner, epoch

    def save(self, step: int, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
        """Write a checkpoint, then remove what is of no more use; an epoch's late ones are, once there is a newer."""
        name = f"step-{step:08d}.e{self._epoch:05d}.{uuid.uuid4().hex[:8]}"
        self._write(name, step, tensors, scalars)
        durable.may_write()
        mine, kept = self._folder / name, 1
        for folder in self._steps():
            newer_epoch = _rank(folder)[0] > self._epoch
            if folder == mine or newer_epoch or not self._may_remove(folder):
                continue
            if _rank(folder) < _rank(mine) and kept < self._keep and self._belongs(folder):
                kept += 1
            else:
                durable.discard(folder)

    def save_best(self, step: int, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
        """Write the weights of the best step so far."""
        self._write(_BEST, step, tensors, scalars)

    def newest(self) -> Saved | None:
        """Return the newest checkpoint of this run that verifies; None when there is none."""
        durable.sweep(self._folder)
        found = (self.read(folder) for folder in self._steps())
        return next((saved for saved in found if saved is not None), None)

    def best(self) -> Saved | None:
        """Return the best weights of this run; None when there are none."""
        return self.read(self._folder / _BEST)

    def remove_all(self) -> None:
        """Remove the checkpoints of this run's object; the artifacts stand."""
        durable.may_write()
        for folder in (*self._steps(), self._folder / _BEST):
            if folder.exists() and self._may_remove(folder):
                durable.discard(folder)

    def read(self, folder: Path) -> Saved | None:
        """Return a checkpoint if it verifies and belongs to this run."""
        from safetensors.torch import load_file

        if not durable.intact(folder) or not self._belongs(folder):
            return None
        document = _scalars(folder) or {}
        return Saved(document["step"], load_file(folder / _TENSORS), document["scalars"], folder)

    def read_named(self, name: str) -> Saved:
        """Return the checkpoint that another process has chosen.

        Raises:
            TrainerError: this process does not see it, or not whole.
        """
        saved = self.read(self._folder / name)
        if saved is None:
            raise TrainerError(f"the checkpoint {name} that the first process resumes at cannot be read here")
        return saved

    def _steps(self) -> list[Path]:
        """Return the folders of checkpoints, newest first."""
        return sorted((path for path in self._folder.glob("step-*") if path.is_dir()), key=_rank, reverse=True)

    def _belongs(self, folder: Path) -> bool:
        return (_scalars(folder) or {}).get("fingerprint") == self._fingerprint

    def _may_remove(self, folder: Path) -> bool:
        """Tell whether a checkpoint is of this object, or of nobody because it is damaged."""
        document = _scalars(folder)
        return document is None or document.get("owner") == self._owner

    def _write(self, name: str, step: int, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
        from safetensors.torch import save_file

        with durable.appearing(self._folder / name) as part:
            save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, part / _TENSORS)
            document = {"fingerprint": self._fingerprint, "owner": self._owner, "step": step, "scalars": scalars}
            (part / _SCALARS).write_text(json.dumps(document), encoding="utf-8")


def _rank(folder: Path) -> tuple[int, int, str]:
    """Return what orders checkpoints: epoch, then step; folders without an epoch come first."""
    found = _NAME.fullmatch(folder.name)
    return (int(found["epoch"] or 0), int(found["step"]), folder.name) if found else (-1, -1, folder.name)


def _scalars(folder: Path) -> dict[str, Any] | None:
    """Return the small part of a checkpoint; None when it cannot be read."""
    try:
        document = json.loads((folder / _SCALARS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None
