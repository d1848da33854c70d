"""Read and write kubeconfig files: where the API server is and how to prove who we are."""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class KubeConfigError(ValueError):
    """The kubeconfig cannot be used; the message says which file, which entry and what to do."""


@dataclass(frozen=True)
class KubeConfig:
    """One resolved context of a kubeconfig."""

    server: str
    """Base URL of the API server, without a trailing slash."""
    token: str | None = None
    token_file: str | None = None
    username: str | None = None
    password: str | None = None
    ssl_context: ssl.SSLContext | None = None
    namespace: str = "default"

    def bearer_token(self) -> str | None:
        """Token to send now; a token file is read anew because clusters rotate it."""
        if self.token_file:
            return Path(self.token_file).read_text(encoding="utf-8").strip()
        return self.token


def load_kubeconfig(path: str | os.PathLike[str] | None = None, context: str | None = None) -> KubeConfig:
    """Resolve a context of the file at `path`, else of `$KUBECONFIG`, else of `~/.kube/config`.

    Raises `KubeConfigError` when the file, the context or one of its parts is missing.
    """
    file = Path(path or os.environ.get("KUBECONFIG", "").split(os.pathsep)[0] or Path.home() / ".kube" / "config")
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise KubeConfigError(f"no kubeconfig at {file}; set KUBECONFIG or start a local cluster") from None
    except yaml.YAMLError as error:
        raise KubeConfigError(f"{file} is not valid YAML: {error}") from error
    chosen = context or document.get("current-context")
    if not chosen:
        raise KubeConfigError(f"{file} names no current-context; choose one with --context")
    ctx = _entry(file, document, "contexts", "context", chosen)
    cluster = _entry(file, document, "clusters", "cluster", ctx.get("cluster", ""))
    user = _entry(file, document, "users", "user", ctx["user"]) if ctx.get("user") else {}
    if "exec" in user or "auth-provider" in user:
        raise KubeConfigError(
            f"{file}: user {ctx['user']!r} needs a credential plugin; use a token or a client certificate"
        )
    server = str(cluster.get("server", "")).rstrip("/")
    return KubeConfig(
        server=server,
        token=user.get("token"),
        token_file=user.get("tokenFile"),
        username=user.get("username"),
        password=user.get("password"),
        ssl_context=_ssl_context(file, cluster, user) if server.startswith("https") else None,
        namespace=ctx.get("namespace") or "default",
    )


def write_kubeconfig(
    path: Path, server: str, *, token: str | None = None, ca_file: Path | None = None, name: str = "kubetune-local"
) -> None:
    """Write a kubeconfig of one context, readable by its owner only, replacing the file atomically."""
    cluster: dict[str, Any] = {"server": server}
    if ca_file is not None:
        cluster["certificate-authority-data"] = base64.b64encode(ca_file.read_bytes()).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": {"token": token} if token else {}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    temporary.touch(mode=0o600)
    temporary.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    temporary.replace(path)


def _entry(file: Path, document: dict[str, Any], section: str, key: str, name: str) -> dict[str, Any]:
    for entry in document.get(section) or []:
        if entry.get("name") == name:
            return dict(entry.get(key) or {})
    raise KubeConfigError(f"{file}: no entry {name!r} under {section}")


def _ssl_context(file: Path, cluster: dict[str, Any], user: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif data := cluster.get("certificate-authority-data"):
        context.load_verify_locations(cadata=base64.b64decode(data).decode())
    elif ca := cluster.get("certificate-authority"):
        context.load_verify_locations(cafile=str(file.parent / ca))
    if cert_data := user.get("client-certificate-data"):
        _load_client_certificate(
            context, base64.b64decode(cert_data), base64.b64decode(user.get("client-key-data", ""))
        )
    elif cert := user.get("client-certificate"):
        context.load_cert_chain(str(file.parent / cert), str(file.parent / user["client-key"]))
    return context


def _load_client_certificate(context: ssl.SSLContext, cert: bytes, key: bytes) -> None:
    """`load_cert_chain` reads files only, so the pair passes through a private temporary file."""
    with tempfile.NamedTemporaryFile() as pair:
        pair.write(cert + b"\n" + key)
        pair.flush()
        context.load_cert_chain(pair.name)
