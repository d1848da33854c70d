"""Resumable states on disk: `checkpoints/step-00000120/` with its tensors, its scalars and a manifest.

    write     aside -> sync -> sizes and SHA-256 in manifest.json -> rename       (a half-written one has no name)
    resume    newest that verifies and belongs to this run                        (a damaged one is passed over)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from . import durable

_TENSORS = "state.safetensors"
_SCALARS = "state.json"
_BEST = "best"


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds."""

    step: int
    tensors: dict[str, Tensor]
    scalars: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run; those of other settings or data in the same folder are left alone or replaced."""

    def __init__(self, folder: Path, fingerprint: str, keep: int) -> None:
        self._folder, self._fingerprint, self._keep = folder, fingerprint, keep

    def save(self, step: int, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
        """Write a checkpoint, then remove the oldest beyond `keep`."""
        self._write(f"step-{step:08d}", step, tensors, scalars)
        for old in self._steps()[self._keep :]:
            durable.discard(old)

    def save_best(self, step: int, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
        """Write the weights of the best step so far."""
        self._write(_BEST, step, tensors, scalars)

    def newest(self) -> Saved | None:
        """Return the newest checkpoint of this run that verifies; None when there is none."""
        durable.sweep(self._folder)
        found = (self._read(folder) for folder in self._steps())
        return next((saved for saved in found if saved is not None), None)

    def best(self) -> Saved | None:
        """Return the best weights of this run; None when there are none."""
        return self._read(self._folder / _BEST)

    def remove_all(self) -> None:
        """Remove the checkpoints; the artifacts stand."""
        for folder in (*self._steps(), self._folder / _BEST):
            if folder.exists():
                durable.discard(folder)

    def _steps(self) -> list[Path]:
        """Return the folders of checkpoints, newest first."""
        return sorted((path for path in self._folder.glob("step-*") if path.is_dir()), reverse=True)

    def _write(self, name: str, step: int, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
        from safetensors.torch import save_file

        with durable.appearing(self._folder / name) as part:
            save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, part / _TENSORS)
            document = {"fingerprint": self._fingerprint, "step": step, "scalars": scalars}
            (part / _SCALARS).write_text(json.dumps(document), encoding="utf-8")

    def _read(self, folder: Path) -> Saved | None:
        from safetensors.torch import load_file

        if not durable.intact(folder):
            return None
        document = json.loads((folder / _SCALARS).read_text(encoding="utf-8"))
        if document["fingerprint"] != self._fingerprint:
            return None
        return Saved(document["step"], load_file(folder / _TENSORS), document["scalars"])
