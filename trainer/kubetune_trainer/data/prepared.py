"""The result of prepare, as train finds it: splits and a manifest that is written last."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubetune_api.ftjstatus import DatasetStatus

from ..errors import BadDataset
from .shards import Split

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Prepared:
    """Prepared data of a workspace."""

    train: Split
    validation: Split | None
    key: str
    """key of what went in: rows, settings, tokenizer."""
    status: DatasetStatus
    sequence_length: int | None = None
    """sequence_length in tokens that examples were cut at; None in data of an earlier version, which did not say."""

    @property
    def digest(self) -> str:
        """`sha256:<hex>` of the prepared tokens."""
        assert self.status.digest is not None, "prepare writes the digest"
        return self.status.digest


def open_prepared(folder: Path) -> Prepared:
    """Return the prepared data in a workspace's data folder.

    Raises:
        BadDataset: there is none, or it is not whole.
    """
    prepared = find_prepared(folder)
    if prepared is None:
        raise BadDataset(f"{folder} has no prepared data; run the prepare stage first", reason="NotPrepared")
    return prepared


def find_prepared(folder: Path, key: str | None = None) -> Prepared | None:
    """Return the prepared data if it is whole and made from `key` (any when None)."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        if key is not None and manifest["key"] != key:
            return None
        root = folder / manifest["folder"]
        validation = Split(root / "validation") if manifest["validation"] else None
        status = DatasetStatus.model_validate(manifest["status"])
        length: int | None = manifest.get("sequenceLength")
        return Prepared(Split(root / "train"), validation, manifest["key"], status, length)
    except (OSError, ValueError, KeyError):
        return None


def split_digest(folders: list[Path]) -> str:
    """Return `sha256:<hex>` over the tokens, masks and bounds of splits."""
    digest = hashlib.sha256()
    for folder in folders:
        for name in ("tokens.i32", "supervised.u1", "bounds.i64"):
            with (folder / name).open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
    return f"sha256:{digest.hexdigest()}"
