"""s3:// against an S3 server of our own: objects, prefixes, cache, and refusals with a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from kubetune_api.model import DataSource, ModelSource
from kubetune_trainer.errors import BadDataset, DiskFull, ModelUnavailable
from kubetune_trainer.models import resolve_model
from kubetune_trainer.sources import fetch_data
from unit.trainer import tiny


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    made = boto3.resource("s3").create_bucket(Bucket="data")
    yield made
    made.objects.all().delete()
    made.delete()


def put(bucket: Any, key: str, count: int) -> None:
    rows = "".join(f'{{"text": "row {index}"}}\n' for index in range(count))
    bucket.put_object(Key=key, Body=rows.encode())


def test_an_object_is_fetched_once_and_again_when_it_changes(bucket: Any, tmp_path: Path) -> None:
    put(bucket, "sets/train.jsonl", 3)
    source = DataSource(uri="s3://data/sets/train.jsonl")
    first = fetch_data(source, tmp_path)
    assert first.path.read_text().count("\n") == 3
    first.path.write_text("kept")
    assert fetch_data(source, tmp_path).path.read_text() == "kept"
    put(bucket, "sets/train.jsonl", 4)
    second = fetch_data(source, tmp_path)
    assert second.path.read_text().count("\n") == 4
    assert second.revision != first.revision


def test_a_prefix_is_a_folder_and_no_neighbour_of_like_name(bucket: Any, tmp_path: Path) -> None:
    for key in ("sets/a.jsonl", "sets/deep/b.jsonl", "sets-old/c.jsonl"):
        put(bucket, key, 1)
    folder = fetch_data(DataSource(uri="s3://data/sets"), tmp_path).path
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jsonl")) == [
        "a.jsonl",
        "deep/b.jsonl",
    ]


def test_a_model_folder_is_fetched(bucket: Any, tmp_path: Path) -> None:
    for path in tiny.write_model(tmp_path / "model").iterdir():
        bucket.upload_file(str(path), f"models/tiny/{path.name}")
    model = resolve_model(ModelSource(uri="s3://data/models/tiny"), tmp_path / "cache")
    assert model.config["model_type"] == "llama"


def test_an_object_that_is_not_there(bucket: Any, tmp_path: Path) -> None:
    with pytest.raises(BadDataset) as caught:
        fetch_data(DataSource(uri="s3://data/none.jsonl"), tmp_path)
    assert (caught.value.reason, caught.value.message) == (
        "DatasetNotFound",
        "s3://data/none.jsonl does not exist; check the bucket, the path and AWS_ENDPOINT_URL",
    )


def test_a_bucket_that_is_not_there(bucket: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="s3://nowhere/m does not exist; check the bucket"):
        resolve_model(ModelSource(uri="s3://nowhere/m"), tmp_path)


def test_an_object_larger_than_the_workspace_is_refused_before_it_is_fetched(bucket: Any, tmp_path: Path) -> None:
    put(bucket, "large.jsonl", 1000)
    with pytest.raises(DiskFull) as caught:
        fetch_data(DataSource(uri="s3://data/large.jsonl"), tmp_path, room=1000)
    assert caught.value.reason == "WorkspaceTooSmall"
    assert not list(tmp_path.rglob("*.jsonl"))


def test_a_store_out_of_reach_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(BadDataset) as caught:
        fetch_data(DataSource(uri="s3://data/x.jsonl"), tmp_path)
    assert caught.value.reason == "StoreUnreachable"
    assert "s3://data/x.jsonl cannot be read: Could not connect" in caught.value.message
