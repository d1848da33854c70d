"""`kubetune local run`: apply, follow, and what happens when a run of the name exists."""

import threading
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubetune_cli import localrun
from kubetune_cli.errors import CliError, ExitCode
from kubetune_cli.localstate import LocalState

BASE = "/apis/kubetune.io/v1alpha1/namespaces/default/finetunejobs"
DONE = {"phase": "Succeeded", "conditions": [{"type": "Succeeded", "status": "True", "reason": "Completed"}]}


@pytest.fixture
def state(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> LocalState:
    """A local cluster that is up: the API server double."""
    monkeypatch.setattr(localrun, "bring_up", lambda *_, **__: False)
    return LocalState(kubeconfig.parent)


def manifest(tmp_path: Path, uri: str = "hf://a/b") -> str:
    """Write a manifest and return its path."""
    path = tmp_path / "job.yaml"
    spec = {"model": {"uri": uri}, "dataset": {"train": [{"uri": "hf://a/data"}]}}
    document = {"apiVersion": "kubetune.io/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "bot"}, "spec": spec}
    path.write_text(yaml.safe_dump(document))
    return str(path)


def run(state: LocalState, file: str, *, again: bool = False) -> ExitCode:
    """Run a manifest."""
    options = Namespace(file=file, again=again, plain=True, control_plane=False, accelerator=[])
    return localrun.run_manifest(state, options)


def finish(api: Any, name: str) -> None:
    """Finish a run as soon as it is watched."""

    def happen() -> None:
        with api.changed:
            api.changed.wait_for(lambda: api.watches >= 1, timeout=10)
        api.put({**api.objects[f"{BASE}/{name}"], "status": DONE})

    threading.Thread(target=happen, daemon=True).start()


def finished(api: Any, tmp_path: Path, name: str = "bot") -> None:
    """Put a run of the manifest that has finished."""
    document = yaml.safe_load(Path(manifest(tmp_path)).read_text())
    document["metadata"] = {"name": name, "uid": f"u-{name}", "creationTimestamp": "2026-11-24T12:00:00Z"}
    api.put({**document, "status": DONE})


def test_applies_on_the_server_side_and_follows_to_the_end(
    api: Any, state: LocalState, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(api, "bot")
    assert run(state, manifest(tmp_path)) == ExitCode.DONE
    [(path, content_type)] = [(path, kind) for method, path, kind in api.requests if method == "PATCH"]
    assert path == f"{BASE}/bot?fieldManager=kubetune-cli&fieldValidation=Strict"
    assert content_type == "application/apply-patch+yaml"
    out = capsys.readouterr().out
    assert "applied   FineTuneJob bot" in out
    assert "kubetune local chat bot" in out


def test_a_finished_run_is_shown_and_not_run_again(
    api: Any, state: LocalState, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(api, tmp_path)
    assert run(state, manifest(tmp_path)) == ExitCode.DONE
    assert "bot has finished already with this spec; --again runs it anew" in capsys.readouterr().out
    assert api.watches == 0


def test_again_makes_a_fresh_run_beside_the_finished_ones(api: Any, state: LocalState, tmp_path: Path) -> None:
    finished(api, tmp_path)
    finished(api, tmp_path, "bot-2")
    finish(api, "bot-3")
    assert run(state, manifest(tmp_path), again=True) == ExitCode.DONE
    assert f"{BASE}/bot-3" in api.objects


def test_another_spec_under_the_same_name_says_what_to_do(api: Any, state: LocalState, tmp_path: Path) -> None:
    finished(api, tmp_path)
    with pytest.raises(CliError, match="FineTuneJob bot exists with another spec") as raised:
        run(state, manifest(tmp_path, "hf://a/other"))
    assert "--again makes a new run beside it" in raised.value.hint


def test_a_file_that_is_not_there_is_told_before_anything_is_applied(
    api: Any, state: LocalState, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CliError, match="nothing was applied"):
        run(state, manifest(tmp_path, "file://./model.gguf"))
    assert f"spec.model.uri: there is no {tmp_path}/model.gguf" in capsys.readouterr().err
    assert api.requests == []
