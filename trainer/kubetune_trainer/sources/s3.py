"""s3://: objects and folders, by s3fs; credentials and endpoint from the environment (AWS_*, AWS_ENDPOINT_URL)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .place import Fetched, Purpose, folder_for, require_room


def fetch(uri: str, cache: Path, purpose: Purpose, room: int | None) -> Fetched:
    """Return the local copy of an object, or of all objects below a prefix.

    Raises:
        BadDataset: the data is missing or forbidden (purpose DATA).
        ModelUnavailable: the model is missing or forbidden (purpose MODEL).
        DiskFull: it does not fit.
    """
    import s3fs
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    filesystem = s3fs.S3FileSystem(anon=not _has_credentials())
    try:
        objects = _objects(filesystem, uri)
        if not objects:
            raise FileNotFoundError(uri)
        return _download(filesystem, objects, uri, cache, room)
    except FileNotFoundError as error:
        problem = f"{uri} does not exist; check the bucket, the path and AWS_ENDPOINT_URL"
        raise purpose.error(problem, f"{purpose.value.capitalize()}NotFound") from error
    except (PermissionError, NoCredentialsError) as error:
        problem = f"{uri} may not be read; give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY by credentialsSecret"
        raise purpose.error(problem, f"{purpose.value.capitalize()}Forbidden") from error
    except (ClientError, BotoCoreError) as error:
        raise purpose.error(f"{uri} cannot be read: {error}", "StoreUnreachable") from error


def _has_credentials() -> bool:
    names = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
    return any(name in os.environ for name in names)


def _objects(filesystem: Any, uri: str) -> list[dict[str, Any]]:
    """Return the objects at or below a uri, each with name, size and ETag."""
    found = filesystem.find(uri.rstrip("/"), detail=True)
    return [entry for entry in found.values() if entry["type"] == "file" and not entry["name"].endswith("/")]


def _download(filesystem: Any, objects: list[dict[str, Any]], uri: str, cache: Path, room: int | None) -> Fetched:
    """Copy what is not here yet; each file appears whole or not at all, under a name with its entity tag."""
    root = uri.removeprefix("s3://").rstrip("/")
    revision = "-".join(str(entry.get("ETag", entry["size"])).strip('"')[:12] for entry in objects[:4])
    folder = folder_for(cache, f"{uri}@{revision}")
    single = len(objects) == 1 and objects[0]["name"] == root
    targets = {
        entry["name"]: folder / (Path(root).name if single else entry["name"].removeprefix(f"{root}/"))
        for entry in objects
    }
    missing = [entry for entry in objects if not targets[entry["name"]].exists()]
    require_room(sum(entry["size"] for entry in missing), cache, room, uri)
    for entry in missing:
        target = targets[entry["name"]]
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        filesystem.get_file(entry["name"], str(part))
        if part.stat().st_size != entry["size"]:
            raise OSError(f"{uri}: {entry['name']} came with {part.stat().st_size} of {entry['size']} bytes")
        part.rename(target)
    return Fetched(next(iter(targets.values())) if single else folder, revision)
