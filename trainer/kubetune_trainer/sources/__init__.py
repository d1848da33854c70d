"""Fetching: a uri becomes a local file or folder, whole and verified, or a clear error.

`fetch_data` and `fetch_model` are the doors; one file a protocol stands beside them.
"""

from __future__ import annotations

from pathlib import Path

from kubetune_api.model import DataSource, ModelSource

from ..errors import BadSpec
from .place import Fetched, Purpose

__all__ = ["Fetched", "Purpose", "fetch_data", "fetch_model"]


def fetch_data(source: DataSource, cache: Path, *, room: int | None = None) -> Fetched:
    """Return the local file or folder of a data source.

    Args:
        source: Where the data is.
        cache: Folder for downloads; what is there already and unchanged is not fetched again.
        room: Bytes that downloads may take; None for what the disk has.

    Raises:
        BadDataset: it is missing, forbidden or broken.
        DiskFull: it does not fit.
        BadSpec: the scheme is unknown here.
    """
    return _fetch(source.uri, None, cache, Purpose.DATA, room)


def fetch_model(source: ModelSource, cache: Path, *, room: int | None = None) -> Fetched:
    """Return the local folder (or .gguf file) of a model source.

    Raises:
        ModelUnavailable: it is missing, forbidden or broken.
        DiskFull: it does not fit.
        BadSpec: the scheme is unknown here.
    """
    return _fetch(source.uri, source.revision, cache, Purpose.MODEL, room)


def _fetch(uri: str, revision: str | None, cache: Path, purpose: Purpose, room: int | None) -> Fetched:
    scheme, _, rest = uri.partition("://")
    if scheme in ("file", "pvc"):
        from . import mounted

        return mounted.fetch(uri, purpose)
    if scheme == "hf":
        from . import hub

        return hub.fetch(rest, revision, cache, purpose, room)
    if scheme == "s3":
        from . import s3

        return s3.fetch(uri, cache, purpose, room)
    if scheme == "https":
        from . import https

        return https.fetch(uri, cache, purpose, room)
    raise BadSpec(f"{uri}: the scheme {scheme}:// cannot be read; use hf://, s3://, https://, pvc:// or file://")
