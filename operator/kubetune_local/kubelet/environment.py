"""Environment of a container: what the machine gives to every pod, then envFrom, then env, in the order written."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from kubetune_local.client import CONFIGMAPS, SECRETS, ApiError, KubeClient, Resource

from . import downward
from .downward import Unresolvable
from .expansion import expand

JSON = dict[str, Any]

INHERITED = (
    *("PATH", "HOME", "USER", "LANG", "LC_*", "TZ", "TMPDIR", "XDG_CACHE_HOME", "LD_LIBRARY_PATH"),
    *("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    *("CURL_CA_BUNDLE", "*_PROXY", "*_proxy", "CUDA_*", "NVIDIA_*", "ROCR_*", "HIP_*", "OMP_*", "MKL_*"),
    *("HF_HOME", "HF_ENDPOINT", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM"),
)
"""Patterns of the variables that stand for an image's own environment. Tokens and kubeconfigs are not among them."""

_NAME = re.compile(r"^[-._a-zA-Z][-._a-zA-Z0-9]*$")


def inherited(environ: Mapping[str, str], patterns: Iterable[str] = INHERITED) -> dict[str, str]:
    """Return the variables of this machine that every container sees."""
    wanted = tuple(patterns)
    return {name: value for name, value in environ.items() if any(fnmatchcase(name, pattern) for pattern in wanted)}


class References:
    """Reads the ConfigMaps and Secrets that a pod names, each once."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._read: dict[tuple[str, str], dict[str, bytes] | None] = {}

    async def config_map(self, name: str) -> dict[str, bytes] | None:
        """Return the entries of a ConfigMap, or None when it does not exist."""
        return await self._entries(CONFIGMAPS, name)

    async def secret(self, name: str) -> dict[str, bytes] | None:
        """Return the entries of a Secret, or None when it does not exist."""
        return await self._entries(SECRETS, name)

    async def _entries(self, kind: Resource, name: str) -> dict[str, bytes] | None:
        key = (kind.plural, name)
        if key not in self._read:
            try:
                self._read[key] = _decoded(await self._client.get(kind, name, self._namespace), kind)
            except ApiError as error:
                if not error.not_found:
                    raise
                self._read[key] = None
        return self._read[key]


def _decoded(found: JSON, kind: Resource) -> dict[str, bytes]:
    if kind is SECRETS:
        return {name: base64.b64decode(value) for name, value in (found.get("data") or {}).items()}
    entries = {name: value.encode() for name, value in (found.get("data") or {}).items()}
    return entries | {name: base64.b64decode(value) for name, value in (found.get("binaryData") or {}).items()}


async def resolve(container: JSON, pod: JSON, references: References, allocatable: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a container declares.

    Raises:
        Unresolvable: a ConfigMap, Secret or key that is not optional does not exist.
    """
    declared: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        declared |= await _all_of(source, references)
    for entry in container.get("env") or []:
        if "valueFrom" in entry:
            value = await _from(entry["valueFrom"], container, pod, references, allocatable)
        else:
            value = expand(entry.get("value", ""), declared)
        if value is not None:
            declared[entry["name"]] = value
    return declared


async def _all_of(source: JSON, references: References) -> dict[str, str]:
    reference = source.get("configMapRef") or source.get("secretRef") or {}
    if "configMapRef" in source:
        kind, entries = "configmap", await references.config_map(reference["name"])
    else:
        kind, entries = "secret", await references.secret(reference["name"])
    if entries is None:
        if reference.get("optional"):
            return {}
        raise Unresolvable(f'{kind} "{reference["name"]}" not found')
    prefix = source.get("prefix", "")
    return {prefix + name: value.decode() for name, value in entries.items() if _NAME.match(prefix + name)}


async def _from(
    source: JSON, container: JSON, pod: JSON, references: References, allocatable: Mapping[str, str]
) -> str | None:
    if "fieldRef" in source:
        return downward.field(pod, source["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in source:
        reference = source["resourceFieldRef"]
        named = reference.get("containerName")
        return downward.resource(downward.container_of(pod, named) if named else container, reference, allocatable)
    for name, kind, read in (
        ("configMapKeyRef", "ConfigMap", references.config_map),
        ("secretKeyRef", "Secret", references.secret),
    ):
        if name in source:
            return _key_of(kind, source[name], await read(source[name]["name"]), pod["metadata"]["namespace"])
    raise Unresolvable(f"unsupported source of a variable: {', '.join(source)}")


def _key_of(kind: str, reference: JSON, entries: dict[str, bytes] | None, namespace: str) -> str | None:
    if entries is not None and reference["key"] in entries:
        return entries[reference["key"]].decode()
    if reference.get("optional"):
        return None
    if entries is None:
        raise Unresolvable(f'{kind.lower()} "{reference["name"]}" not found')
    raise Unresolvable(f"couldn't find key {reference['key']} in {kind} {namespace}/{reference['name']}")
