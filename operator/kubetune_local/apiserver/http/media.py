"""Media types: what a client sends, what it wants back."""

import json
from dataclasses import dataclass
from typing import Any

import yaml

from kubetune_local.apiserver.errors import bad_request, not_acceptable, unsupported_media_type
from kubetune_local.apiserver.http.protobuf import PROTOBUF, decode_protobuf

OFFERED = "application/json, application/yaml"
_FORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


@dataclass(frozen=True)
class Wanted:
    """The form of an answer: `form` is empty for the object itself; `yaml` for YAML in place of JSON."""

    form: str = ""
    yaml: bool = False

    @property
    def content_type(self) -> str:
        """The Content-Type of the answer."""
        return "application/yaml" if self.yaml else "application/json"

    def render(self, body: Any) -> bytes:
        """Encode a body."""
        if self.yaml:
            return yaml.safe_dump(body, allow_unicode=True).encode()
        return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def wanted(accept: str) -> Wanted:
    """Choose the first form in an Accept header that the server knows; StatusError 406 when there is none."""
    for media in accept.split(",") if accept.strip() else ["*/*"]:
        kind, *parameters = (part.strip() for part in media.split(";"))
        values = dict(parameter.split("=", 1) for parameter in parameters if "=" in parameter)
        form = values.get("as", "")
        if form and (form not in _FORMS or values.get("g") != "meta.k8s.io" or values.get("v") != "v1"):
            continue
        if kind in ("application/json", "application/*", "*/*"):
            return Wanted(form)
        if kind == "application/yaml":
            return Wanted(form, yaml=True)
    raise not_acceptable(OFFERED)


def parse_body(media: str, raw: bytes) -> Any:
    """Read a body; StatusError 415 for a media type the server does not read, 400 for text that is none."""
    if not raw.strip():
        return None
    if media in ("application/json", "", "*/*") or media.endswith("+json"):
        try:
            return json.loads(raw)
        except ValueError as error:
            raise bad_request(f"error decoding the body as JSON: {error}") from None
    if media == PROTOBUF:
        return decode_protobuf(raw)
    if media in ("application/yaml", "application/apply-patch+yaml"):
        try:
            return _plain(yaml.load(raw, Loader=_Loader))
        except yaml.YAMLError as error:
            raise bad_request(f"error decoding YAML: {error}") from None
    raise unsupported_media_type("application/json, application/yaml")


class _Loader(yaml.CSafeLoader):
    """YAML without timestamps: Kubernetes reads YAML as JSON, in which a time is text."""


_Loader.yaml_implicit_resolvers = {
    key: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for key, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _plain(value: Any) -> Any:
    """JSON knows text keys only."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else json.dumps(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
