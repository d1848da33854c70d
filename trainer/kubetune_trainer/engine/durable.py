"""Files and folders that survive a crash: written aside, synced, hashed, then renamed into place.

Who holds a folder (see lock) writes aside in a place of its own there. Its successor takes that place away before it
looks at anything, so a rename of an earlier holder that comes late finds nothing to rename: the file system itself
refuses it, however long that process was frozen between its last check and the rename.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

MANIFEST = "manifest.json"
_CHUNK = 8 * 2**20


@dataclass(frozen=True, eq=False)
class _Fence:
    check: Callable[[], None]
    """check: called before each durable write of this process; raises when this process may no longer write."""
    folder: Path | None
    aside: Path | None
    """aside: where what belongs below `folder` is written first."""


_fences: list[_Fence] = []


@contextmanager
def fenced(check: Callable[[], None], folder: Path | None = None, aside: Path | None = None) -> Iterator[None]:
    """Call `check` before every durable write inside the context; it raises to prevent the write.

    What is written below `folder` is written in `aside` first; both are on one file system.
    """
    fence = _Fence(check, folder, aside)
    _fences.append(fence)
    try:
        yield
    finally:
        _fences.remove(fence)


def may_write() -> None:
    """Raise what the fences raise: called last before something becomes visible."""
    for fence in _fences:
        fence.check()


def aside_of(target: Path) -> Path:
    """Return the folder to write in what is renamed to `target` when it is whole."""
    for fence in reversed(_fences):
        if fence.folder is not None and fence.aside is not None and target.is_relative_to(fence.folder):
            return fence.aside
    return target.parent


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `target` as a whole, manifest and all, or not at all.

    A folder that stands there already is replaced.
    """
    may_write()
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=aside_of(target)))
    try:
        yield part
        part.chmod(0o755)
        _seal(part)
        if target.exists():
            discard(target)
        may_write()
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
    with _replacing(path) as part, part.open("w", encoding="utf-8", errors=errors) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def open_anew(path: Path) -> TextIO:
    """Return an empty text file to write line by line; who has it open from before writes to a file without a name."""
    part = _aside(path)
    file = part.open("w", encoding="utf-8")
    try:
        may_write()
        part.replace(path)
    except BaseException:
        file.close()
        part.unlink(missing_ok=True)
        raise
    return file


def disown(path: Path) -> None:
    """Give a file to this process alone: an earlier one that has it open goes on in a file without a name."""
    with _replacing(path) as part:
        shutil.copyfile(path, part)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a file to write aside; it takes the place of `path` when nothing was raised."""
    part = _aside(path)
    try:
        yield part
        may_write()
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _aside(path: Path) -> Path:
    return aside_of(path) / f".{path.name}-{uuid.uuid4().hex[:12]}"


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
    aside = Path(tempfile.mkdtemp(prefix=".old-", dir=aside_of(folder)))
    may_write()
    folder.rename(aside / "gone")
    shutil.rmtree(aside, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
