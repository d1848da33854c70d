"""Decode the built-in kinds as Go's JSON decoder does: known fields only, types checked, zero values dropped."""

import base64
import binascii
from collections.abc import Callable
from typing import Any

from kubetune_local.apiserver.schema.node import OBJECT_META, Node, builtin
from kubetune_local.apiserver.schema.quantity import canonical_quantity

Obj = dict[str, Any]


class DecodeError(Exception):
    """A value whose type does not fit its field; the message is Go's."""


_GO_TYPES = {
    ("integer", "int32"): "int32",
    ("integer", "int64"): "int64",
    ("integer", ""): "int",
    ("number", "double"): "float64",
    ("string", "byte"): "[]uint8",
    ("string", ""): "string",
    ("boolean", ""): "bool",
}
_RANGES = {"int32": 2**31, "int64": 2**63, "int": 2**63}


def json_type(value: Any) -> str:
    """Name a JSON value as Go's decoder does."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, dict):
        return "object"
    return "array" if isinstance(value, list) else "number"


class Decoder:
    """Cleans one object; unknown fields are collected in `unknown` with their paths."""

    def __init__(self) -> None:
        self.unknown: list[str] = []

    def decode(self, node: Node, value: Obj) -> Obj:
        """Return a cleaned copy of an object of a built-in kind; raises DecodeError."""
        return self._struct(node, value, "", "")

    def _mismatch(self, owner: Node, value: Any, gopath: str, wanted: str) -> DecodeError:
        shown = (
            f"number {value}"
            if isinstance(value, float) or (wanted in _RANGES and json_type(value) == "number")
            else json_type(value)
        )
        return DecodeError(
            f"json: cannot unmarshal {shown} into Go struct field {owner.struct}.{gopath} of type {wanted}"
        )

    def _struct(self, node: Node, value: Obj, path: str, gopath: str) -> Obj:
        out: Obj = {}
        for name, item in value.items():
            child = node.properties.get(name)
            here = f"{path}.{name}" if path else name
            if child is None:
                self.unknown.append(here)
                continue
            if item is None:
                continue
            cleaned = self._value(node, child, item, here, f"{gopath}.{name}" if gopath else name)
            if cleaned or not _droppable(child, cleaned):
                out[name] = cleaned
        return out

    def _value(self, owner: Node, node: Node, value: Any, path: str, gopath: str) -> Any:
        if node.is_any:
            return value
        if node.kind == "quantity":
            return self._quantity(value)
        if node.int_or_string:
            if isinstance(value, bool) or not isinstance(value, int | str):
                raise self._mismatch(owner, value, gopath, "int32")
            return value
        if node.kind == "array":
            return self._array(owner, node, value, path, gopath)
        if node.additional is not None:
            return self._map(owner, node, value, path, gopath)
        if node.properties or node.kind == "object":
            if not isinstance(value, dict):
                raise self._mismatch(owner, value, gopath, f"v1.{node.struct or 'Object'}")
            return self._struct(node, value, path, gopath) if node.properties else value
        return self._scalar(owner, node, value, gopath)

    def _array(self, owner: Node, node: Node, value: Any, path: str, gopath: str) -> list[Any]:
        item = node.items
        assert item is not None
        if not isinstance(value, list):
            raise self._mismatch(owner, value, gopath, f"[]{self._type_name(item)}")
        return [
            self._value(owner, item, element, f"{path}[{index}]", gopath) if element is not None else _zero(item)
            for index, element in enumerate(value)
        ]

    def _map(self, owner: Node, node: Node, value: Any, path: str, gopath: str) -> Obj:
        item = node.additional
        assert item is not None
        if not isinstance(value, dict):
            raise self._mismatch(owner, value, gopath, f"map[string]{self._type_name(item)}")
        return {
            key: self._value(owner, item, element, f"{path}.{key}", gopath) if element is not None else _zero(item)
            for key, element in value.items()
        }

    def _type_name(self, node: Node) -> str:
        return f"v1.{node.struct}" if node.struct else _GO_TYPES.get((node.kind, node.format), node.kind)

    def _quantity(self, value: Any) -> str:
        text = value if isinstance(value, str) else str(value)
        try:
            return canonical_quantity(text)
        except ValueError as error:
            raise DecodeError(str(error)) from None

    def _scalar(self, owner: Node, node: Node, value: Any, gopath: str) -> Any:
        wanted = _GO_TYPES.get((node.kind, node.format)) or _GO_TYPES.get((node.kind, ""), node.kind)
        check: Callable[[Any], bool] = _CHECKS.get(node.kind, lambda _: True)
        if not check(value):
            raise self._mismatch(owner, value, gopath, wanted)
        if wanted in _RANGES and not -_RANGES[wanted] <= value < _RANGES[wanted]:
            raise self._mismatch(owner, value, gopath, wanted)
        if wanted == "[]uint8":
            try:
                base64.b64decode(value, validate=True)
            except binascii.Error:
                at = next(
                    (index for index, char in enumerate(value) if not (char.isalnum() or char in "+/=")),
                    len(value) // 4 * 4,
                )
                raise DecodeError(f"illegal base64 data at input byte {at}") from None
        return value


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
}


def _zero(node: Node) -> Any:
    if node.kind == "array":
        return []
    return {"string": "", "integer": 0, "number": 0, "boolean": False, "quantity": "0"}.get(node.kind, {})


def _droppable(node: Node, cleaned: Any) -> bool:
    """Empty lists and maps are `omitempty` in Go; an empty struct is a statement (`emptyDir: {}`)."""
    return cleaned == [] or (cleaned == {} and node.is_map)


def object_meta() -> Node:
    """The schema of `metadata`, which custom resources share with the built-in kinds."""
    return builtin(OBJECT_META)
