"""What kubectl (unknown fields), the API server (schema, CEL) and the operator (plan) say to a manifest. Pure."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kubetune_api import API_VERSION, GROUP
from kubetune_api.crdgen import KINDS, object_schema
from kubetune_operator.plan.plan import Refusal
from kubetune_operator.render import render
from kubetune_operator.settings import Settings

from .manifests import Document, Path_, parse_path
from .structural import Schema, defaulted, mistakes

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_KINDS = {kind.__name__: kind for kind in KINDS}


@dataclass(frozen=True)
class Finding:
    """One mistake: where, what, and what to do."""

    path: Path_
    message: str
    hint: str = ""
    at_key: bool = False
    """Whether the field's name is wrong rather than its value."""


def is_foreign(document: Document) -> bool:
    """Tell whether a document is a whole object of somebody else's API, such as a claim beside a job."""
    value = document.value
    version = str(value.get("apiVersion") or "") if isinstance(value, dict) else ""
    meant = difflib.get_close_matches(document.kind, list(_KINDS), n=1)
    return bool(version and document.kind and not meant and not version.startswith(GROUP))


def findings(document: Document) -> list[Finding]:
    """Return every mistake of a document; those of other APIs are not looked at.

    The operator's own rules are asked once the schema is content.
    """
    if is_foreign(document):
        return []
    head = list(_header(document)) + [_repeated(path) for path in document.repeated]
    kind = _KINDS.get(document.kind)
    if kind is None or any(finding.path in ((), ("kind",)) for finding in head):
        return head
    schema = object_schema(kind)
    found = head + [
        Finding(entry.path, entry.message, entry.hint, entry.at_key) for entry in mistakes(document.value, schema)
    ]
    return found or list(_refusals(defaulted(document.value, schema)))


def _header(document: Document) -> Iterator[Finding]:
    value = document.value
    if not isinstance(value, dict):
        yield Finding((), "a manifest is a mapping with apiVersion, kind, metadata and spec")
        return
    kind, version = value.get("kind"), value.get("apiVersion")
    if kind not in _KINDS:
        near = difflib.get_close_matches(str(kind), list(_KINDS), n=1)
        hint = f"did you mean {near[0]}?" if near else f"write one of {', '.join(_KINDS)}"
        problem = "kind is missing" if kind is None else f"kind {kind!r} is none of KubeTune's"
        yield Finding(("kind",), problem, hint)
    if version != API_VERSION:
        problem = "apiVersion is missing" if version is None else f"apiVersion {version!r} is not served"
        yield Finding(("apiVersion",), problem, f"write apiVersion: {API_VERSION}")
    yield from _metadata(value.get("metadata"))


def _metadata(metadata: Any) -> Iterator[Finding]:
    if not isinstance(metadata, dict) or not (metadata.get("name") or metadata.get("generateName")):
        yield Finding(("metadata",), "metadata.name is missing")
        return
    name = metadata.get("name")
    if name is not None and (not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 253):
        hint = "use lower case letters, digits, - and ., with a letter or digit at both ends"
        yield Finding(("metadata", "name"), f"metadata.name {name!r} is no valid name", hint)


def _repeated(path: Path_) -> Finding:
    return Finding(path, f"{path[-1]} is given twice; the last one would win silently", "remove one", at_key=True)


def _refusals(value: dict[str, Any]) -> Iterator[Finding]:
    """Yield what the operator's plan refuses, file:// allowed as in a local cluster."""
    answer = render(value, Settings(allow_file_uris=True))
    if isinstance(answer, Refusal):
        for refusal in answer.parts or (answer,):
            text = refusal.message.removeprefix(f"{refusal.field}: ")
            yield Finding(
                parse_path(refusal.field), f"{refusal.field}: {text}", f"the operator would refuse it: {refusal.reason}"
            )


def schema_of(kind: str) -> Schema:
    """Return the schema of one of our kinds."""
    return object_schema(_KINDS[kind])
