"""https://: one file, downloaded with resume; a half-written file is never taken for a whole one."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx2 as httpx

from ..engine.durable import disown, may_write
from .place import Fetched, Purpose, folder_for, require_room, turn

_TRIES = 4
_TIMEOUT = httpx.Timeout(30, read=60)


def fetch(uri: str, cache: Path, purpose: Purpose, room: int | None) -> Fetched:
    """Return the local copy of a file.

    Raises:
        BadDataset: the data is missing, forbidden, or breaks off again and again (purpose DATA).
        ModelUnavailable: the same for a model.
        DiskFull: it does not fit.
    """
    bare = uri.partition("?")[0]
    noun = purpose.value.capitalize()
    name = unquote(Path(urlsplit(uri).path).name) or "data"
    problem: Exception | None = None
    with (
        turn(cache, bare),
        httpx.Client(follow_redirects=True, timeout=_TIMEOUT, headers=_authorization()) as client,
    ):
        for _ in range(_TRIES):
            try:
                return _download(client, uri, folder_for(cache, bare), name, room)
            except httpx.HTTPStatusError as error:
                status = error.response.status_code
                if status in (401, 403):
                    message = f"{bare} answered {status}; give HTTP_TOKEN by credentialsSecret"
                    raise purpose.error(message, f"{noun}Forbidden") from error
                if status < 500 and status != 429:
                    message = f"{bare} answered {status}; check the address"
                    raise purpose.error(message, f"{noun}NotFound") from error
                problem = error
            except httpx.TransportError as error:
                problem = error
    raise purpose.error(f"{bare} cannot be downloaded: {type(problem).__name__} after {_TRIES} tries", "Unreachable")


def _authorization() -> dict[str, str]:
    token = os.environ.get("HTTP_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _download(client: httpx.Client, uri: str, folder: Path, name: str, room: int | None) -> Fetched:
    """Download, or go on where an earlier try broke off (RFC 9110, range requests with If-Range)."""
    part, tag_file = folder / f"{name}.part", folder / "etag"
    done = part.stat().st_size if part.exists() and tag_file.exists() else 0
    more = {"Range": f"bytes={done}-", "If-Range": tag_file.read_text()} if done else {}
    with client.stream("GET", uri, headers={"Accept-Encoding": "identity"} | more) as response:
        response.raise_for_status()
        if response.status_code != 206:
            done = 0
        length = int(response.headers.get("content-length", 0))
        tag = response.headers.get("etag") or response.headers.get("last-modified") or str(length)
        target = folder / _safe(tag) / name
        if target.exists():
            return Fetched(target, tag)
        require_room(length, folder, room, uri.partition("?")[0])
        target.parent.mkdir(parents=True, exist_ok=True)
        tag_file.write_text(tag)
        if done:
            disown(part)
        else:
            part.unlink(missing_ok=True)
        with part.open("ab") as file:
            for block in response.iter_bytes():
                file.write(block)
    may_write()
    part.rename(target)
    tag_file.unlink()
    return Fetched(target, tag)


def _safe(tag: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in tag)[:64]
