"""s3://: objects and folders, by boto3; credentials and endpoint from the environment (AWS_*, AWS_ENDPOINT_URL)."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engine.durable import may_write
from .place import Fetched, Purpose, folder_for, require_room, turn

_MISSING = {"404", "NoSuchKey", "NoSuchBucket", "NotFound"}
_REFUSED = {"403", "AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}


@dataclass(frozen=True)
class _Object:
    key: str
    size: int
    tag: str


def fetch(uri: str, cache: Path, purpose: Purpose, room: int | None) -> Fetched:
    """Return the local copy of an object, or of all objects below a prefix.

    Raises:
        BadDataset: the data is missing or forbidden (purpose DATA).
        ModelUnavailable: the model is missing or forbidden (purpose MODEL).
        DiskFull: it does not fit.
    """
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    bucket, _, path = uri.removeprefix("s3://").rstrip("/").partition("/")
    try:
        client = _client()
        objects = _objects(client, bucket, path)
        if not objects:
            raise _missing(uri, purpose)
        with turn(cache, uri):
            return _download(client, bucket, path, objects, uri, cache, room)
    except NoCredentialsError as error:
        raise _refused(uri, purpose) from error
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _MISSING:
            raise _missing(uri, purpose) from error
        if code in _REFUSED:
            raise _refused(uri, purpose) from error
        raise purpose.error(f"{uri} cannot be read: {error}", "StoreUnreachable") from error
    except BotoCoreError as error:
        raise purpose.error(f"{uri} cannot be read: {error}", "StoreUnreachable") from error


def _missing(uri: str, purpose: Purpose) -> Exception:
    problem = f"{uri} does not exist; check the bucket, the path and AWS_ENDPOINT_URL"
    return purpose.error(problem, f"{purpose.value.capitalize()}NotFound")


def _refused(uri: str, purpose: Purpose) -> Exception:
    problem = f"{uri} may not be read; give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY by credentialsSecret"
    return purpose.error(problem, f"{purpose.value.capitalize()}Forbidden")


def _client() -> Any:
    """Return a client; without credentials it is anonymous, which public buckets allow."""
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    more = {} if _has_credentials() else {"signature_version": UNSIGNED}
    retries = {"mode": "standard", "max_attempts": 5}
    return boto3.client("s3", config=Config(retries=retries, connect_timeout=10, read_timeout=60, **more))


def _has_credentials() -> bool:
    names = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
    return any(name in os.environ for name in names)


def _objects(client: Any, bucket: str, path: str) -> list[_Object]:
    """Return the object at a path, or those below it."""
    found = []
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=path):
        for entry in page.get("Contents", []):
            key = entry["Key"]
            if not key.endswith("/") and (not path or key == path or key.startswith(f"{path}/")):
                found.append(_Object(key, entry["Size"], entry["ETag"].strip('"')))
    exact = [entry for entry in found if entry.key == path]
    return exact or found


def _revision(objects: list[_Object]) -> str:
    """Return the entity tag of one object, or a digest of those of all."""
    if len(objects) == 1:
        return objects[0].tag
    return hashlib.sha256("\n".join(f"{entry.key} {entry.tag}" for entry in objects).encode()).hexdigest()[:32]


def _download(
    client: Any, bucket: str, path: str, objects: list[_Object], uri: str, cache: Path, room: int | None
) -> Fetched:
    """Copy what is not here yet; each file appears whole or not at all, under a name with its entity tag."""
    revision = _revision(objects)
    folder = folder_for(cache, f"{uri}@{revision}")
    single = len(objects) == 1 and objects[0].key == path
    targets = {
        entry.key: folder / (Path(path).name if single else entry.key.removeprefix(f"{path}/")) for entry in objects
    }
    missing = [entry for entry in objects if not targets[entry.key].exists()]
    require_room(sum(entry.size for entry in missing), cache, room, uri)
    for entry in missing:
        target = targets[entry.key]
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        client.download_file(bucket, entry.key, str(part))
        if part.stat().st_size != entry.size:
            raise OSError(f"{uri}: {entry.key} came with {part.stat().st_size} of {entry.size} bytes")
        may_write()
        part.rename(target)
    return Fetched(next(iter(targets.values())) if single else folder, revision)
