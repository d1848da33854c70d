"""Files and folders that survive a crash: written aside, synced, hashed, then renamed into place."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
_CHUNK = 8 * 2**20


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `target` as a whole, manifest and all, or not at all.

    A folder that stands there already is replaced.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield part
        part.chmod(0o755)
        _seal(part)
        if target.exists():
            discard(target)
        part.rename(target)
        sync_folder(target.parent)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def write_json(path: Path, document: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, json.dumps(document, indent=1, ensure_ascii=False))


def write_text(path: Path, text: str, *, errors: str = "strict") -> None:
    """Write a file whole or not at all; `errors` as in `open`."""
    part = path.with_name(f".{path.name}-{os.getpid()}")
    with part.open("w", encoding="utf-8", errors=errors) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def intact(folder: Path) -> bool:
    """Return whether every file that the manifest lists is there, with its size and SHA-256."""
    try:
        listed: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return all(
            (folder / name).stat().st_size == entry["size"] and sha256_of(folder / name) == entry["sha256"]
            for name, entry in listed.items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def files_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and SHA-256 of each file below a folder but its manifest, by relative name."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": sha256_of(path)} for path in paths
    }


def sweep(parent: Path) -> None:
    """Remove what an earlier process left half-written or half-removed."""
    for path in parent.glob(".*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)


def _seal(folder: Path) -> None:
    manifest = {"version": 1, "files": files_of(folder)}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o644)  # safetensors writes for the owner alone; later stages may run as another user
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_folder(folder)


def discard(folder: Path) -> None:
    """Remove a folder such that no half of it is ever seen under its name."""
    aside = Path(tempfile.mkdtemp(prefix=".old-", dir=folder.parent))
    folder.rename(aside / "gone")
    shutil.rmtree(aside, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
