"""file:// and pvc://: what is mounted already."""

from __future__ import annotations

import difflib
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..paths import claim_path
from .place import Fetched, Purpose


def fetch(uri: str, purpose: Purpose) -> Fetched:
    """Return the path of a mounted source.

    Raises:
        BadDataset: the data is not there (purpose DATA).
        ModelUnavailable: the model is not there (purpose MODEL).
    """
    path = _path(uri)
    try:
        stat = path.stat()
    except OSError as error:
        problem = f"{uri} cannot be read: {error.strerror}{_nearest(path)}; check spec.{purpose.value} and the volume"
        raise purpose.error(problem, f"{purpose.value.capitalize()}NotFound") from error
    return Fetched(path, f"{stat.st_size}-{stat.st_mtime_ns}")


def _path(uri: str) -> Path:
    parts = urlsplit(uri)
    path = unquote(parts.path)
    return claim_path(parts.netloc, path.lstrip("/")) if parts.scheme == "pvc" else Path(path)


def _nearest(path: Path) -> str:
    """Return a hint at the file that was probably meant."""
    if not path.parent.is_dir():
        return ""
    names = [entry.name for entry in path.parent.iterdir()]
    near = difflib.get_close_matches(path.name, names, n=1)
    return f" (did you mean {near[0]}?)" if near else ""
