"""hf://: repositories of a Hugging Face hub, by its own client."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2 as httpx
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    DryRunError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from .place import Fetched, Purpose, require_room

#: What a model needs; pickles and other frameworks' weights are never downloaded.
_MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "tokenizer*")
_DATA_FILES = ("*.jsonl", "*.json", "*.csv", "*.tsv", "*.parquet", "*.jsonl.gz", "*.csv.gz")


def fetch(rest: str, revision: str | None, cache: Path, purpose: Purpose, room: int | None) -> Fetched:
    """Return the local snapshot of `org/name[/path]`.

    Raises:
        BadDataset: the dataset is missing or forbidden, or the hub cannot be reached and nothing is cached.
        ModelUnavailable: the same for a model.
        DiskFull: it does not fit.
    """
    parts = rest.removeprefix("datasets/").split("/")
    repository, inner = "/".join(parts[:2]), "/".join(parts[2:])
    kind = "dataset" if purpose is Purpose.DATA else "model"
    patterns = _patterns(inner, purpose)
    uri = f"hf://{rest}"
    options: dict[str, Any] = {"repo_type": kind, "revision": revision}
    try:
        with suppress(DryRunError):  # no answer, or a refusal: what follows says why, or has it cached
            require_room(_missing_bytes(repository, patterns, cache, options), cache, room, uri)
        folder = Path(snapshot_download(repository, cache_dir=cache, allow_patterns=patterns, **options))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, httpx.TransportError) as error:
        raise purpose.error(f"{uri} {_problem(error)}", _reason(error, purpose)) from error
    path = folder / inner
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        raise purpose.error(f"{uri}: the repository has no such file", f"{purpose.value.capitalize()}NotFound")
    return Fetched(path, folder.name)


def _patterns(inner: str, purpose: Purpose) -> list[str]:
    if inner:
        return [inner, f"{inner}/*"]
    return list(_MODEL_FILES if purpose is Purpose.MODEL else _DATA_FILES)


def _missing_bytes(repository: str, patterns: list[str], cache: Path, options: dict[str, Any]) -> int:
    """Return how many bytes are still to be downloaded."""
    plan = snapshot_download(repository, cache_dir=cache, allow_patterns=patterns, dry_run=True, **options)
    return sum(int(file.file_size or 0) for file in plan if file.will_download)


def _problem(error: Exception) -> str:
    if isinstance(error, GatedRepoError):
        return (
            "is gated: accept its licence on the hub, and give a token that may read it (HF_TOKEN in credentialsSecret)"
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            "does not exist on the hub, or is private and the token may not read it; check the name and the "
            "HF_TOKEN of credentialsSecret"
        )
    if isinstance(error, RevisionNotFoundError):
        return "has no such revision; give the 40-digit commit from the repository's history"
    if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
        return "has no such file; check the path behind the repository's name"
    if isinstance(error, HfHubHTTPError):
        return f"cannot be read: the hub answered {error.response.status_code}"
    return (
        f"cannot be downloaded: the hub {HfApi().endpoint} is not reachable and nothing is in the cache; check the "
        "network policy or HF_ENDPOINT, or put a copy on a claim and write pvc://"
    )


def _reason(error: Exception, purpose: Purpose) -> str:
    noun = purpose.value.capitalize()
    if isinstance(error, GatedRepoError):
        return f"{noun}Forbidden"
    return f"{noun}NotFound" if isinstance(error, HfHubHTTPError) else "HubUnreachable"
