"""A small API server double: objects in a dictionary, watches that can be cut, logs."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

BASE = "/apis/kubetune.io/v1alpha1/namespaces/default"


class ApiDouble:
    """Serves what a test puts into it."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.pods: list[dict[str, Any]] = []
        self.logs: dict[str, str] = {}
        self.forbidden: tuple[str, ...] = ()
        """Ends of the paths that nobody may read."""
        self.watches = 0
        self.requests: list[tuple[str, str, str]] = []
        """(method, path with query, content type) of every request."""
        self.changed = threading.Condition()
        self.cut = False
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Served", (Handler,), {"double": self}))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        """Address of the server."""
        return f"http://127.0.0.1:{self.server.server_port}"

    def put(self, obj: dict[str, Any]) -> None:
        """Store an object and tell the watches."""
        plural = {"FineTuneJob": "finetunejobs", "EvalRun": "evalruns"}[obj["kind"]]
        with self.changed:
            self.objects[f"{BASE}/{plural}/{obj['metadata']['name']}"] = obj
            self.changed.notify_all()

    def cut_watches(self) -> None:
        """End every open watch, as a restarting server does."""
        with self.changed:
            self.cut = True
            self.changed.notify_all()

    def close(self) -> None:
        """Stop serving."""
        self.cut_watches()
        self.server.shutdown()
        self.server.server_close()


class Handler(BaseHTTPRequestHandler):
    """Answers for a double."""

    double: ApiDouble

    def log_message(self, *_: Any) -> None:
        return

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.double.requests.append(("GET", self.path, ""))
        if parts.path.endswith(self.double.forbidden):
            return self.answer(403, {"kind": "Status", "reason": "Forbidden", "message": "forbidden"})
        if parts.path.endswith("/log"):
            return self.text(self.double.logs.get(parts.path.split("/")[-2], ""))
        if parts.path.endswith("/pods"):
            return self.answer(200, {"items": self.double.pods})
        if query.get("watch"):
            return self.watch(parts.path)
        if parts.path in self.double.objects:
            return self.answer(200, self.double.objects[parts.path])
        if parts.path.count("/") == BASE.count("/") + 1:
            items = [obj for path, obj in self.double.objects.items() if path.startswith(parts.path + "/")]
            return self.answer(200, {"metadata": {"resourceVersion": "1"}, "items": items})
        name = parts.path.rpartition("/")[2]
        self.answer(404, {"kind": "Status", "reason": "NotFound", "message": "not found", "details": {"name": name}})

    def do_PATCH(self) -> None:
        self.double.requests.append(("PATCH", self.path, self.headers["Content-Type"]))
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        wanted["metadata"].setdefault("uid", "u-new")
        stored = self.double.objects.setdefault(urlsplit(self.path).path, wanted)
        if stored["spec"] != wanted["spec"]:
            return self.answer(422, {"message": "spec.model: Invalid value: model is immutable: delete the object"})
        self.answer(200, stored)

    def watch(self, collection: str) -> None:
        with self.double.changed:
            self.double.watches += 1
            self.double.changed.notify_all()
        self.send_response(200)
        self.end_headers()
        told: dict[str, str] = {}
        with self.double.changed:
            while not self.double.cut:
                for path, obj in self.double.objects.items():
                    text = json.dumps(obj)
                    if path.startswith(collection) and told.get(path) != text:
                        told[path] = text
                        self.wfile.write(json.dumps({"type": "MODIFIED", "object": obj}).encode() + b"\n")
                self.double.changed.wait(5)
            self.double.cut = False

    def answer(self, status: int, body: dict[str, Any]) -> None:
        self.text(json.dumps(body), status)

    def text(self, body: str, status: int = 200) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.fixture
def api() -> Iterator[ApiDouble]:
    """An API server double."""
    double = ApiDouble()
    yield double
    double.close()


@pytest.fixture
def kubeconfig(api: ApiDouble, tmp_path: Path) -> Path:
    """A kubeconfig for the double."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "double", "cluster": {"server": api.url}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "double", "context": {"cluster": "double", "user": "me"}}],
        "current-context": "double",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return path
