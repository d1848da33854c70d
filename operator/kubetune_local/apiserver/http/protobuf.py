"""Bodies in protobuf, which the typed clients of `kubectl create` send without asking: of the kinds they create.

Field numbers are those of `generated.proto` in `k8s.io/api` and `k8s.io/apimachinery` (Apache-2.0); they never change.
Answers are always JSON: clients that send protobuf accept it. A field that is not in the tables refuses the body.
"""

import base64
from collections.abc import Iterator
from typing import Any

from kubetune_local.apiserver.errors import StatusError, bad_request, unsupported_media_type

Obj = dict[str, Any]
PROTOBUF = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
Shape = dict[int, tuple[str, Any]]
"""Field number -> (JSON name, type): the name of a scalar, a Shape, or one of these in a list for repeated fields."""

_OWNER: Shape = {
    5: ("apiVersion", "text"), 1: ("kind", "text"), 3: ("name", "text"), 4: ("uid", "text"), 6: ("controller", "flag"),
    7: ("blockOwnerDeletion", "flag"),
}  # fmt: skip
_META: Shape = {
    1: ("name", "text"), 2: ("generateName", "text"), 3: ("namespace", "text"), 5: ("uid", "text"),
    6: ("resourceVersion", "text"), 11: ("labels", "texts"), 12: ("annotations", "texts"),
    13: ("ownerReferences", [_OWNER]), 14: ("finalizers", ["text"]),
}  # fmt: skip
_ATTRIBUTES: Shape = {
    1: ("namespace", "text"), 2: ("verb", "text"), 3: ("group", "text"), 4: ("version", "text"),
    5: ("resource", "text"), 6: ("subresource", "text"), 7: ("name", "text"),
}  # fmt: skip
_PATH: Shape = {1: ("path", "text"), 2: ("verb", "text")}
_DELETE: Shape = {
    1: ("gracePeriodSeconds", "number"), 2: ("preconditions", {1: ("uid", "text"), 2: ("resourceVersion", "text")}),
    3: ("orphanDependents", "flag"), 4: ("propagationPolicy", "text"), 5: ("dryRun", ["text"]),
}  # fmt: skip
_SUBJECT: Shape = {1: ("kind", "text"), 2: ("apiGroup", "text"), 3: ("name", "text"), 4: ("namespace", "text")}
_ROLE_REF: Shape = {1: ("apiGroup", "text"), 2: ("kind", "text"), 3: ("name", "text")}
_BINDING: Shape = {1: ("metadata", _META), 2: ("subjects", [_SUBJECT]), 3: ("roleRef", _ROLE_REF)}
_SHAPES: dict[str, Shape] = {
    "Namespace": {1: ("metadata", _META)},
    "ConfigMap": {1: ("metadata", _META), 2: ("data", "texts"), 3: ("binaryData", "blobs"), 4: ("immutable", "flag")},
    "Secret": {
        1: ("metadata", _META), 2: ("data", "blobs"), 3: ("type", "text"), 4: ("stringData", "texts"),
        5: ("immutable", "flag"),
    },
    "ServiceAccount": {1: ("metadata", _META)},
    "SelfSubjectAccessReview": {
        1: ("metadata", _META),
        2: ("spec", {1: ("resourceAttributes", _ATTRIBUTES), 2: ("nonResourceAttributes", _PATH)}),
    },
    "SelfSubjectRulesReview": {1: ("metadata", _META), 2: ("spec", {1: ("namespace", "text")})},
    "SelfSubjectReview": {1: ("metadata", _META)},
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
    "PriorityClass": {
        1: ("metadata", _META), 2: ("value", "number"), 3: ("globalDefault", "flag"), 4: ("description", "text"),
        5: ("preemptionPolicy", "text"),
    },
    "DeleteOptions": _DELETE,
    "Eviction": {1: ("metadata", _META), 2: ("deleteOptions", _DELETE)},
}  # fmt: skip


def decode_protobuf(raw: bytes) -> Obj:
    """Return the object in a protobuf envelope; StatusError 415 for a kind that is not known in this form."""
    if not raw.startswith(_MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        envelope = dict(_fields(raw[len(_MAGIC) :]))
        types = {number: value.decode() for number, value in _fields(envelope.get(1, b""))}
        version, kind = types.get(1, ""), types.get(2, "")
        shape = _SHAPES.get(kind)
        if shape is None:
            raise _not_read()
        return {"apiVersion": version, "kind": kind, **_message(shape, envelope.get(2, b""))}
    except (IndexError, ValueError, AttributeError) as error:
        raise bad_request(f"error decoding the body as protobuf: {error}") from None


def _not_read() -> StatusError:
    """Return the 415 for what would be lost; JSON is always understood."""
    return unsupported_media_type("application/json, application/yaml; use `kubectl apply -f` or `kubectl create -f`")


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Yield field numbers with their values: integers or bytes."""
    at = 0
    while at < len(raw):
        key, at = _varint(raw, at)
        if key & 7 == 0:
            value, at = _varint(raw, at)
            yield key >> 3, value
        elif key & 7 == 2:
            length, at = _varint(raw, at)
            yield key >> 3, raw[at : at + length]
            at += length
        elif key & 7 in (1, 5):
            length = 8 if key & 7 == 1 else 4
            yield key >> 3, raw[at : at + length]
            at += length
        else:
            raise ValueError(f"field {key >> 3} has a wire type that is not used")
    if at > len(raw):
        raise IndexError("the message is cut off")


def _says_something(value: Any) -> bool:
    """Whether a field holds more than the empty texts, zeros and messages that clients always send."""
    if not isinstance(value, bytes):
        return bool(value)
    try:
        return any(_says_something(below) for _, below in _fields(value))
    except (IndexError, ValueError):
        return True


def _message(shape: Shape, raw: bytes) -> Obj:
    obj: Obj = {}
    for number, value in _fields(raw):
        if number not in shape:
            if _says_something(value):
                raise _not_read()
            continue
        name, kind = shape[number]
        if isinstance(kind, list):
            obj.setdefault(name, []).append(_value(kind[0], value))
        elif kind in ("texts", "blobs"):
            entry = dict(_fields(value))
            text = base64.b64encode(entry.get(2, b"")).decode() if kind == "blobs" else entry.get(2, b"").decode()
            obj.setdefault(name, {})[entry.get(1, b"").decode()] = text
        else:
            read = _value(kind, value)
            if read not in ("", {}):
                obj[name] = read
    return obj


def _value(kind: Any, value: Any) -> Any:
    if isinstance(kind, dict):
        return _message(kind, value)
    if kind == "flag":
        return bool(value)
    if kind == "number":
        return value - (1 << 64) if value >> 63 else value
    return value.decode()
