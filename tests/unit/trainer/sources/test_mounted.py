"""file:// and pvc://: mounted places, also where a kubelet maps mounts to folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kubetune_api.model import DataSource
from kubetune_api.run import HOSTS_ENV, MOUNTS_ENV
from kubetune_trainer.errors import BadDataset, BadSpec
from kubetune_trainer.paths import Workspace, host_address, real_path
from kubetune_trainer.sources import fetch_data


def test_a_claim_is_found_where_the_kubelet_put_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a b.jsonl").write_text("{}")
    monkeypatch.setenv(MOUNTS_ENV, json.dumps({"/mnt/claims/sets": str(tmp_path), "/mnt": "/elsewhere"}))
    assert fetch_data(DataSource(uri="pvc://sets/a%20b.jsonl"), tmp_path).path == tmp_path / "a b.jsonl"


def test_the_longest_mount_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MOUNTS_ENV, json.dumps({"/workspace": "/a", "/workspace/cache": "/b"}))
    assert real_path("/workspace/cache/x") == Path("/b/x")
    assert real_path("/workspace/data/x") == Path("/a/data/x")
    assert real_path("/workspaces/x") == Path("/workspaces/x")


def test_a_changed_file_has_another_revision(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("{}")
    first = fetch_data(DataSource(uri=path.as_uri()), tmp_path)
    path.write_text('{"a": 1}')
    assert fetch_data(DataSource(uri=path.as_uri()), tmp_path).revision != first.revision


def test_a_missing_file_suggests_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("{}")
    uri = (tmp_path / "trian.jsonl").as_uri()
    with pytest.raises(BadDataset) as caught:
        fetch_data(DataSource(uri=uri), tmp_path)
    assert caught.value.message == (
        f"{uri} cannot be read: No such file or directory (did you mean train.jsonl?); check spec.dataset and "
        "the volume"
    )


def test_a_scheme_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSpec) as caught:
        fetch_data(DataSource(uri="gs://bucket/rows.jsonl"), tmp_path)
    assert caught.value.message == (
        "gs://bucket/rows.jsonl: the scheme gs:// cannot be read; use hf://, s3://, https://, pvc:// or file://"
    )


def test_the_uri_of_an_artifact_is_that_of_its_claim(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "pvc://job-ws/")
    assert workspace.uri_of(tmp_path / "artifacts" / "adapter") == "pvc://job-ws/artifacts/adapter"


def test_a_host_is_looked_up_as_told_and_by_name_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOSTS_ENV, json.dumps({"*.train": "127.0.0.2", "a-0.train": "127.0.0.3"}))
    assert host_address("a-0.train") == "127.0.0.3"
    assert host_address("a-1.train") == "127.0.0.2"
    assert host_address("127.0.0.9") == "127.0.0.9"
    with pytest.raises(OSError, match="not known"):
        host_address("nobody.invalid")
