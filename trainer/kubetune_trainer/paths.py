"""Where things lie: pod paths to real ones, the workspace's folders, and uris of what is in it."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from kubetune_api.run import (
    CLAIMS_PATH,
    HOSTS_ENV,
    MOUNTS_ENV,
    TERMINATION_LOG_ENV,
    TERMINATION_LOG_PATH,
    Layout,
    RunFile,
)

from .errors import BadSpec

#: Folder of the lock in whatever has one writer at a time.
LOCK_FOLDER = ".lock"


def real_path(path: str | Path) -> Path:
    """Return where a pod path really lies: the longest mount of MOUNTS_ENV that holds it, or the path itself."""
    pod_path = Path(path)
    mounts = json.loads(os.environ.get(MOUNTS_ENV) or "{}")
    for mount in sorted(mounts, key=len, reverse=True):
        if pod_path.is_relative_to(mount):
            return Path(mounts[mount]) / pod_path.relative_to(mount)
    return pod_path


def termination_log() -> Path:
    """Return the file for the termination message."""
    return Path(os.environ.get(TERMINATION_LOG_ENV) or real_path(TERMINATION_LOG_PATH))


def host_address(host: str) -> str:
    """Return the address of a host: from HOSTS_ENV when it is there, from the name service otherwise.

    Raises:
        OSError: nobody knows it (yet).
    """
    hosts = json.loads(os.environ.get(HOSTS_ENV) or "{}")
    for pattern in sorted(hosts, key=lambda known: (known != host, -len(known))):
        if fnmatchcase(host, pattern):
            return str(hosts[pattern])
    return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])


def claim_path(claim: str, path: str) -> Path:
    """Return where `path` of a claim is mounted."""
    return real_path(f"{CLAIMS_PATH}/{claim}") / path


@dataclass(frozen=True)
class Workspace:
    """The folders of a run; see kubetune_api.run.Layout."""

    root: Path
    uri: str

    @property
    def models(self) -> Path:
        """Downloaded and de-quantised models."""
        return self.root / Layout.MODELS

    @property
    def downloads(self) -> Path:
        """Downloaded data files."""
        return self.root / "cache" / "data"

    @property
    def data(self) -> Path:
        """Prepared shards."""
        return self.root / Layout.DATA

    @property
    def checkpoints(self) -> Path:
        """Resumable states."""
        return self.root / Layout.CHECKPOINTS

    @property
    def artifacts(self) -> Path:
        """Adapter, merged model, lineage."""
        return self.root / Layout.ARTIFACTS

    @property
    def reports(self) -> Path:
        """Reports for people."""
        return self.root / Layout.REPORTS

    def room(self, size: int) -> int | None:
        """Return how many bytes are left of a workspace of `size` bytes; None when the size is not known (0)."""
        if not size:
            return None
        files = (path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink())
        return max(0, size - sum(path.stat().st_size for path in files if path.parent.name != LOCK_FOLDER))

    def uri_of(self, path: Path) -> str:
        """Return the uri under which people find a path of the workspace."""
        return f"{self.uri.rstrip('/')}/{path.relative_to(self.root)}"


def open_workspace(run: RunFile) -> Workspace:
    """Return the workspace of a run, made sure to be a folder that can be written.

    Raises:
        BadSpec: it is a file, cannot be made, or cannot be written.
    """
    root = real_path(run.workspace)
    workspace = Workspace(root, run.workspace_uri or root.absolute().as_uri())
    for folder in (root, workspace.data, workspace.reports):
        make_folder(folder)
    probe = root / f".write-{os.getpid()}"
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise _unwritable(root, error) from error
    return workspace


def make_folder(folder: Path) -> None:
    """Make a folder and its parents.

    Raises:
        BadSpec: a file stands where a folder is due, or it may not be made.
    """
    for part in (*reversed(folder.parents), folder):
        if part.exists() and not part.is_dir():
            raise BadSpec(
                f"{part} is a file, but a folder is due there; move it away or use another claim",
                reason="OutputNotWritable",
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> BadSpec | OSError:
    if error.errno is not None and error.strerror in ("No space left on device", "Disk quota exceeded"):
        return error
    return BadSpec(
        f"cannot write to {folder}: {error.strerror}; the claim must be writable for user {os.geteuid()} "
        "(access mode ReadWriteOnce or ReadWriteMany, and fsGroup or its owner)",
        reason="OutputNotWritable",
    )
