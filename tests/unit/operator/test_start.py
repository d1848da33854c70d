"""The start: what the operator was told and cannot use is a message and exit code 64, not a traceback."""

import socket
from pathlib import Path

import pytest

from kubetune_operator.__main__ import main

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: one
contexts: [{name: one, context: {cluster: one, user: one}}]
clusters: [{name: one, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: one, user: {}}]
"""


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cluster is near: neither a pod's service account nor anybody's kubeconfig."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBETUNE_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the message of an operator that does not start."""
    assert main() == 64
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text


def test_without_a_kubeconfig(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys)
    assert "kubetune-operator: no cluster to work in (KUBECONFIG is not set, and ~/.kube/config names none)" in text
    assert "Set KUBECONFIG to a kubeconfig file" in text


@pytest.mark.parametrize("content", [None, "{", "[]", "kind: Config"])
def test_with_a_kubeconfig_that_is_none(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("KUBECONFIG", str(path))
    assert f"no cluster to work in (KUBECONFIG={path})" in said(capsys)


@pytest.mark.parametrize("content", ["a: [", "- a\n- b\n", "workers: many"])
def test_with_a_settings_file_that_is_none(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(content)
    monkeypatch.setenv("KUBETUNE_SETTINGS", str(path))
    assert "the settings are not valid" in said(capsys)


@pytest.mark.parametrize("bind", ["nowhere", "127.0.0.1:99999", "taken"])
def test_with_an_address_that_cannot_be_served_at(
    bind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG)
    monkeypatch.setenv("KUBECONFIG", str(path))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}" if bind == "taken" else bind
        monkeypatch.setenv("KUBETUNE_HTTP_BIND", address)
        assert f"cannot serve at http_bind '{address}'" in said(capsys)
