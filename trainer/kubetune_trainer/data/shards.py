"""Prepared data on disk: flat arrays that are memory-mapped, so that a run starts at once whatever the size.

A split is a folder: `tokens.i32`, `supervised.u1` (one byte a token), `bounds.i64` (n + 1 offsets), `origin.i32`
(file index and row number of each example, shape (n, 2)) and `split.json`, written last.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .encoding import Encoded

_PARTS = ("tokens.i32", "supervised.u1", "bounds.i64", "origin.i32")


class Split:
    """One prepared split, read by memory map."""

    def __init__(self, folder: Path) -> None:
        summary: dict[str, Any] = json.loads((folder / "split.json").read_text())
        self.folder = folder
        self.files: list[str] = summary["files"]
        self.supervised_tokens: int = summary["supervisedTokens"]
        count, tokens = int(summary["examples"]), int(summary["tokens"])
        self.tokens: NDArray[np.int32] = _mapped(folder / "tokens.i32", np.int32, (tokens,))
        """tokens of all examples, one after the other, shape (tokens,)."""
        self.supervised: NDArray[np.bool_] = _mapped(folder / "supervised.u1", np.bool_, (tokens,))
        """supervised, shape (tokens,): True where the token is learned."""
        self.bounds: NDArray[np.int64] = _mapped(folder / "bounds.i64", np.int64, (count + 1,))
        """bounds: example i is tokens[bounds[i]:bounds[i + 1]]."""
        self.origin: NDArray[np.int32] = _mapped(folder / "origin.i32", np.int32, (count, 2))
        """origin, shape (n, 2): index into files, and row number, of each example."""

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example, shape (n,)."""
        return np.diff(self.bounds)

    def example(self, index: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return the token ids and the supervision mask of an example."""
        part = slice(int(self.bounds[index]), int(self.bounds[index + 1]))
        return self.tokens[part], self.supervised[part]

    def where(self, index: int) -> str:
        """Return the file and row of an example, for messages."""
        file, row = self.origin[index]
        return f"{self.files[file]} row {row}"


def _mapped(path: Path, dtype: Any, shape: tuple[int, ...]) -> Any:
    if 0 in shape:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype=dtype, mode="r", shape=shape)


class SplitWriter:
    """Writes a split; it exists for readers only after `close`."""

    def __init__(self, folder: Path, files: Sequence[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._files = list(files)
        self._parts: dict[str, BinaryIO] = {name: (folder / name).open("wb") for name in _PARTS}
        self._parts["bounds.i64"].write(np.zeros(1, np.int64).tobytes())
        self.examples = 0
        self.tokens = 0
        self.supervised_tokens = 0
        self.truncated = 0
        self.truncated_tokens = 0

    def __enter__(self) -> SplitWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            for part in self._parts.values():
                part.close()

    def add(self, encoded: Encoded, file: int, row: int) -> None:
        """Append an example."""
        self._parts["tokens.i32"].write(encoded.ids.astype(np.int32).tobytes())
        self._parts["supervised.u1"].write(encoded.supervised.astype(np.uint8).tobytes())
        self.examples += 1
        self.tokens += len(encoded.ids)
        self.supervised_tokens += int(encoded.supervised.sum())
        self.truncated += encoded.truncated > 0
        self.truncated_tokens += encoded.truncated
        self._parts["bounds.i64"].write(np.int64(self.tokens).tobytes())
        self._parts["origin.i32"].write(np.array([file, row], np.int32).tobytes())

    def close(self) -> None:
        """Flush everything to disk, then name the split whole."""
        for part in self._parts.values():
            part.flush()
            os.fsync(part.fileno())
            part.close()
        summary = {
            "files": self._files,
            "examples": self.examples,
            "tokens": self.tokens,
            "supervisedTokens": self.supervised_tokens,
        }
        (self._folder / "split.json").write_text(json.dumps(summary))
