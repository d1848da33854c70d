"""A stand-in for the hub: repositories from folders, over HTTP, as huggingface_hub asks for them."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What the stand-in serves, and what it was asked."""

    repositories: dict[str, Path] = field(default_factory=dict)
    """repositories: `models/org/name` or `datasets/org/name` to a folder."""
    gated: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    downloaded: list[str] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve on a free port of this machine."""

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve(body=True)

    def do_HEAD(self) -> None:
        self._serve(body=False)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _serve(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        parts = path.strip("/").split("/")
        if parts[0] == "api":
            return self._api("/".join(parts[1:4]), parts[4:])
        kind = parts[0] if parts[0] == "datasets" else "models"
        rest = parts[1:] if kind == "datasets" else parts
        return self._file(f"{kind}/{'/'.join(rest[:2])}", "/".join(rest[4:]), body)

    def _api(self, repository: str, rest: list[str]) -> None:
        folder = self._folder(repository)
        if folder is None:
            return
        revision = rest[1] if len(rest) > 1 else "main"
        if revision not in ("main", COMMIT):
            return self._say(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        if rest[:1] == ["tree"]:
            return self._say(200, [self._entry(folder, name) for name in names])
        siblings = [{"rfilename": name} for name in names]
        return self._say(200, {"id": repository.partition("/")[2], "sha": COMMIT, "siblings": siblings, "tags": []})

    def _entry(self, folder: Path, name: str) -> dict[str, Any]:
        content = (folder / name).read_bytes()
        return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}

    def _file(self, repository: str, name: str, body: bool) -> None:
        folder = self._folder(repository)
        if folder is None:
            return
        if not (folder / name).is_file():
            return self._say(404, {"error": "no entry"}, {"X-Error-Code": "EntryNotFound"})
        content = (folder / name).read_bytes()
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.hub.downloaded.append(name)
            self.wfile.write(content)

    def _folder(self, repository: str) -> Path | None:
        if repository in self.hub.gated:
            self._say(403, {"error": "gated"}, {"X-Error-Code": "GatedRepo"})
            return None
        if repository not in self.hub.repositories:
            self._say(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
            return None
        return self.hub.repositories[repository]

    def _say(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
