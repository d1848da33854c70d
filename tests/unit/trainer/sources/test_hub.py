"""hf:// against a stand-in of the hub: snapshots, splits, cache, and refusals with a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from kubetune_api.model import DataSource, ModelSource
from kubetune_trainer.errors import BadDataset, DiskFull, ModelUnavailable, TrainerError
from kubetune_trainer.models import load_tokenizer, resolve_model
from kubetune_trainer.sources import fetch_data, fetch_model
from unit.trainer import tiny
from unit.trainer.sources.hub_stand_in import COMMIT, Hub, serving


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    model = tiny.write_model(tmp_path / "hub" / "model")
    (model / "pytorch_model.bin").write_bytes(b"pickle")
    data = tmp_path / "hub" / "data"
    (data / "data").mkdir(parents=True)
    tiny.write_rows(data / "data" / "train-00000-of-00001.jsonl", tiny.questions(5))
    tiny.write_rows(data / "data" / "test-00000-of-00001.jsonl", tiny.questions(2))
    known = Hub({"models/org/tiny": model, "datasets/org/rows": data})
    with serving(known):
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", known.url)
        template = known.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        yield known


def test_a_model_comes_with_commit_and_without_pickles(hub: Hub, tmp_path: Path) -> None:
    model = resolve_model(ModelSource(uri="hf://org/tiny"), tmp_path / "cache")
    assert model.revision == COMMIT
    assert load_tokenizer(model).chat_template == tiny.TEMPLATE
    assert "pytorch_model.bin" not in hub.downloaded
    assert "model.safetensors" in hub.downloaded


def test_a_pinned_revision_is_asked_for(hub: Hub, tmp_path: Path) -> None:
    fetched = fetch_model(ModelSource(uri="hf://org/tiny", revision=COMMIT), tmp_path)
    assert fetched.revision == COMMIT
    assert not any("/main" in asked for asked in hub.asked)


def test_what_is_in_the_cache_is_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    fetch_model(ModelSource(uri="hf://org/tiny"), tmp_path)
    hub.downloaded.clear()
    fetch_model(ModelSource(uri="hf://org/tiny"), tmp_path)
    assert hub.downloaded == []


def test_without_the_hub_the_cache_serves(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fetch_model(ModelSource(uri="hf://org/tiny"), tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert fetch_model(ModelSource(uri="hf://org/tiny"), tmp_path) == first


@pytest.mark.parametrize("uri", ["hf://org/rows", "hf://datasets/org/rows"])
def test_a_dataset_repository_is_fetched(hub: Hub, tmp_path: Path, uri: str) -> None:
    fetched = fetch_data(DataSource(uri=uri), tmp_path)
    assert sorted(path.name for path in fetched.path.rglob("*.jsonl")) == [
        "test-00000-of-00001.jsonl",
        "train-00000-of-00001.jsonl",
    ]


def test_one_file_of_a_dataset_repository_is_fetched_alone(hub: Hub, tmp_path: Path) -> None:
    fetched = fetch_data(DataSource(uri="hf://org/rows/data/test-00000-of-00001.jsonl"), tmp_path)
    assert fetched.path.read_text().count("\n") == 2
    assert hub.downloaded == ["data/test-00000-of-00001.jsonl"]


def test_a_model_larger_than_the_workspace_is_refused_before_it_is_fetched(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(DiskFull) as caught:
        fetch_model(ModelSource(uri="hf://org/tiny"), tmp_path, room=1000)
    assert caught.value.message.startswith("hf://org/tiny takes ")
    assert hub.downloaded == []


def refusal(uri: str, cache: Path, revision: str | None = None) -> TrainerError:
    with pytest.raises(ModelUnavailable) as caught:
        fetch_model(ModelSource(uri=uri, revision=revision), cache)
    return caught.value


def test_a_model_that_is_not_there(hub: Hub, tmp_path: Path) -> None:
    error = refusal("hf://org/tyni", tmp_path)
    assert (error.reason, error.message) == (
        "ModelNotFound",
        "hf://org/tyni does not exist on the hub, or is private and the token may not read it; check the name and the "
        "HF_TOKEN of credentialsSecret",
    )


def test_a_gated_model_says_how_to_get_it(hub: Hub, tmp_path: Path) -> None:
    hub.gated.add("models/org/tiny")
    error = refusal("hf://org/tiny", tmp_path)
    assert (error.reason, error.message) == (
        "ModelForbidden",
        "hf://org/tiny is gated: accept its licence on the hub, and give a token that may read it (HF_TOKEN in "
        "credentialsSecret)",
    )


def test_a_revision_that_is_not_there(hub: Hub, tmp_path: Path) -> None:
    error = refusal("hf://org/tiny", tmp_path, revision="f" * 40)
    assert error.message == (
        "hf://org/tiny has no such revision; give the 40-digit commit from the repository's history"
    )


def test_a_hub_out_of_reach(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    error = refusal("hf://org/tiny", tmp_path)
    assert error.reason == "HubUnreachable"
    assert error.message == (
        f"hf://org/tiny cannot be downloaded: the hub {hub.url} is not reachable and nothing is in the cache; check "
        "the network policy or HF_ENDPOINT, or put a copy on a claim and write pvc://"
    )


def test_a_dataset_that_is_not_there_is_a_bad_dataset(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match="hf://org/none does not exist on the hub"):
        fetch_data(DataSource(uri="hf://org/none"), tmp_path)


def test_prepare_runs_on_the_hub_as_a_process(hub: Hub, tmp_path: Path) -> None:
    import subprocess

    run = tiny.run_file("prepare", tmp_path / "ws", tmp_path, tmp_path, model={"uri": "hf://org/tiny"})
    changed = tiny.merged(run.dump(), {"dataset": {"train": [{"uri": "hf://org/rows"}]}})
    path = tmp_path / "run.json"
    tiny.write_run(path, type(run).model_validate(changed))
    environment = tiny.trainer_environment(tmp_path) | {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        tiny.trainer_command(path), env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"examples":4,"validation":1' in done.stdout
