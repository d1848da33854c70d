"""https:// against a server on this machine: a download goes on where it broke off, and is whole or absent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kubetune_trainer.errors import BadDataset, DiskFull, TrainerError
from kubetune_trainer.sources import https
from kubetune_trainer.sources.place import Purpose, turn

CONTENT = b'{"text": "a row"}\n' * 20_000


@dataclass
class Site:
    """What the server does with the next requests."""

    url: str = ""
    status: int = 200
    cuts: int = 0
    """cuts: how many answers break off half-way."""
    ranges: list[str | None] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    second: threading.Event = field(default_factory=threading.Event)
    """second: a second request has come."""
    patience: float = 0.0
    """patience: seconds for which the first answer waits half-way for a second request."""


@pytest.fixture
def site() -> Iterator[Site]:
    known = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known.ranges.append(self.headers.get("Range"))
            known.tokens.append(self.headers.get("Authorization"))
            if known.status != 200:
                self.send_error(known.status)
                return
            start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
            self.send_response(206 if start else 200)
            self.send_header("ETag", '"v1"')
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            end = len(CONTENT)
            if known.cuts:
                known.cuts -= 1
                end = start + (end - start) // 2
            if len(known.ranges) > 1:
                known.second.set()
            half = start + (end - start) // 2
            self.wfile.write(CONTENT[start:half])
            known.second.wait(known.patience)
            self.wfile.write(CONTENT[half:end])

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known.url = f"http://127.0.0.1:{server.server_port}/sets/train.jsonl"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield known
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_is_downloaded_under_its_name(site: Site, tmp_path: Path) -> None:
    fetched = https.fetch(site.url + "?signature=x", tmp_path, Purpose.DATA, None)
    assert fetched.path.name == "train.jsonl"
    assert fetched.path.read_bytes() == CONTENT
    assert fetched.revision == '"v1"'


def test_a_download_that_breaks_off_goes_on_where_it_was(site: Site, tmp_path: Path) -> None:
    site.cuts = 2
    fetched = https.fetch(site.url, tmp_path, Purpose.DATA, None)
    assert fetched.path.read_bytes() == CONTENT
    assert site.ranges[0] is None
    starts = [int(asked[6:-1]) for asked in site.ranges[1:] if asked]
    assert len(starts) == 2
    assert 0 < starts[0] < starts[1]


def test_two_that_want_the_same_file_at_once_take_turns(site: Site, tmp_path: Path) -> None:
    site.patience = 1.0
    with ThreadPoolExecutor(2) as pool:
        fetches = [pool.submit(https.fetch, site.url, tmp_path, Purpose.DATA, None) for _ in range(2)]
        first, second = [fetch.result(60) for fetch in fetches]
    assert first == second
    assert first.path.read_bytes() == CONTENT
    assert site.ranges == [None, None], "the second asks whether the file is still the same, and has it"


def test_one_that_never_ends_does_not_hold_up_the_next_for_ever(tmp_path: Path) -> None:
    with turn(tmp_path, "https://host/a"):
        with turn(tmp_path, "https://host/b", patience=0):
            pass
        with pytest.raises(TrainerError) as caught, turn(tmp_path, "https://host/a", patience=0.01):
            pytest.fail("two at once")
    assert caught.value.reason == "WorkspaceBusy"
    with turn(tmp_path, "https://host/a", patience=0):
        pass


def test_a_download_that_never_ends_leaves_no_file_behind(site: Site, tmp_path: Path) -> None:
    site.cuts = 100
    with pytest.raises(BadDataset) as caught:
        https.fetch(site.url, tmp_path, Purpose.DATA, None)
    assert "cannot be downloaded: RemoteProtocolError after 4 tries" in caught.value.message
    assert not list(tmp_path.rglob("train.jsonl"))


def test_a_token_is_sent_and_never_shown(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_TOKEN", "very-secret")
    site.status = 403
    with pytest.raises(BadDataset) as caught:
        https.fetch(site.url + "?token=hidden", tmp_path, Purpose.DATA, None)
    assert site.tokens == ["Bearer very-secret"]
    assert caught.value.reason == "DatasetForbidden"
    assert caught.value.message == f"{site.url} answered 403; give HTTP_TOKEN by credentialsSecret"


def test_a_file_that_is_not_there(site: Site, tmp_path: Path) -> None:
    site.status = 404
    with pytest.raises(BadDataset) as caught:
        https.fetch(site.url, tmp_path, Purpose.DATA, None)
    assert caught.value.message == f"{site.url} answered 404; check the address"


def test_a_file_larger_than_the_workspace_is_refused(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DiskFull):
        https.fetch(site.url, tmp_path, Purpose.DATA, 1000)
    assert not list(tmp_path.rglob("*.part"))
