"""JSON patch (RFC 6902)."""

import copy
from typing import Any

from kubetune_local.apiserver.errors import StatusError, bad_request

Obj = dict[str, Any]


class _Failed(Exception):
    """An operation that cannot be done."""


def json_patch(value: Obj, operations: Any) -> Obj:
    """Return a copy of `value` with all operations applied; StatusError 422 when one fails, 400 when unreadable."""
    if not isinstance(operations, list) or not all(isinstance(item, dict) for item in operations):
        raise bad_request("error decoding patch: a JSON patch is a list of operations")
    result: Any = copy.deepcopy(value)
    for operation in operations:
        try:
            result = _apply(result, operation)
        except _Failed as error:
            raise StatusError(
                422, "Invalid", "the server rejected our request due to an error in our request"
            ) from error
    if not isinstance(result, dict):
        raise bad_request("the patch leaves no object")
    return result


def _apply(document: Any, operation: Obj) -> Any:
    kind, path = operation.get("op"), operation.get("path")
    if not isinstance(path, str):
        raise bad_request("error decoding patch: an operation has no path")
    if kind in ("add", "replace", "test") and "value" not in operation:
        raise bad_request(f"error decoding patch: operation {kind} has no value")
    match kind:
        case "add":
            return _add(document, path, copy.deepcopy(operation["value"]))
        case "remove":
            return _remove(document, path)
        case "replace":
            _get(document, path)
            return _replace(document, path, copy.deepcopy(operation["value"]))
        case "move":
            moved = _get(document, operation.get("from", ""))
            return _add(_remove(document, operation["from"]), path, moved)
        case "copy":
            return _add(document, path, copy.deepcopy(_get(document, operation.get("from", ""))))
        case "test":
            return _test(document, path, operation["value"])
    raise bad_request(f"Unexpected kind: {kind}")


def _test(document: Any, path: str, wanted: Any) -> Any:
    try:
        found = _get(document, path)
    except _Failed:
        found = None
    if found != wanted:
        raise _Failed(f"testing value {path} failed: test failed")
    return document


def _parts(path: str) -> list[str]:
    if path and not path.startswith("/"):
        raise _Failed(f"path {path!r} does not start with /")
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def _index(part: str, length: int) -> int:
    if not part.isdigit() or int(part) >= length:
        raise _Failed(f"index {part} is out of range")
    return int(part)


def _step(value: Any, part: str, path: str) -> Any:
    if isinstance(value, dict) and part in value:
        return value[part]
    if isinstance(value, list):
        return value[_index(part, len(value))]
    raise _Failed(f"doc is missing path: {path}")


def _get(document: Any, path: str) -> Any:
    for part in _parts(path):
        document = _step(document, part, path)
    return document


def _parent(document: Any, path: str) -> tuple[Any, str]:
    parts = _parts(path)
    for part in parts[:-1]:
        document = _step(document, part, path)
    if not isinstance(document, dict | list):
        raise _Failed(f"doc is missing path: {path}")
    return document, parts[-1]


def _add(document: Any, path: str, value: Any) -> Any:
    if not path:
        return value
    parent, part = _parent(document, path)
    if isinstance(parent, dict):
        parent[part] = value
    else:
        parent.insert(len(parent) if part == "-" else _index(part, len(parent) + 1), value)
    return document


def _replace(document: Any, path: str, value: Any) -> Any:
    if not path:
        return value
    parent, part = _parent(document, path)
    parent[part if isinstance(parent, dict) else _index(part, len(parent))] = value
    return document


def _remove(document: Any, path: str) -> Any:
    parent, part = _parent(document, path)
    _step(parent, part, path)
    del parent[part if isinstance(parent, dict) else _index(part, len(parent))]
    return document
