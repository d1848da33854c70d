"""Validate custom resources against schema and rules, with the messages of the real API server.

Sources: `k8s.io/kube-openapi/pkg/validation` (wording), `k8s.io/apiextensions-apiserver/pkg/registry/customresource`
(order: schema, then list types, then CEL when nothing blocks it), KEP-4008 (ratcheting).
"""

import base64
import binascii
import ipaddress
import re
import uuid
from datetime import date, datetime
from typing import Any
from urllib.parse import urlparse

from kubetune_local.apiserver.errors import (
    NO_VALUE,
    FieldError,
    duplicate_value,
    invalid_value,
    required,
    unsupported,
)
from kubetune_local.apiserver.schema.decode import json_type
from kubetune_local.apiserver.schema.node import Node
from kubetune_local.apiserver.schema.rules import rules_of, view

Obj = dict[str, Any]
_BLOCKING = (
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
    "FieldValueNotSupported",
)
_UNCHECKED = (
    "some validation rules were not checked because the object was invalid;"
    " correct the existing errors to complete validation"
)
MISSING: Any = object()


def validate(node: Node, value: Obj, old: Obj | None) -> list[FieldError]:
    """Return what is wrong with an object; an unchanged part of `old` may stay wrong."""
    checker = _Checker()
    before = MISSING if old is None else old
    checker.schema(node, value, before, "")
    checker.lists(node, value, before, "")
    blocking = [error for error in checker.errors if error.reason in _BLOCKING]
    if blocking:
        checker.errors.append(FieldError("FieldValueInvalid", "<nil>", None, _UNCHECKED))
    else:
        checker.rules(node, value, before, "")
    return checker.errors


def _correlate(node: Node, old: Any, index: int, item: Any) -> Any:
    """Find the old item that an item of a list continues: by keys in a list map, by value in a set, else none."""
    if not isinstance(old, list):
        return MISSING
    if node.list_type == "map" and isinstance(item, dict):
        key = [item.get(name) for name in node.map_keys]
        found = (each for each in old if isinstance(each, dict) and [each.get(name) for name in node.map_keys] == key)
        return next(found, MISSING)
    if node.list_type == "set":
        return item if item in old else MISSING
    return MISSING


def _child(old: Any, name: str) -> Any:
    return old.get(name, MISSING) if isinstance(old, dict) else MISSING


class _Checker:
    def __init__(self) -> None:
        self.errors: list[FieldError] = []

    def add(self, error: FieldError) -> None:
        self.errors.append(error)

    def schema(self, node: Node, value: Any, old: Any, path: str) -> None:
        if old is not MISSING and value == old:
            return
        if value is None:
            if not node.nullable and not node.is_any:
                self._wrong_type(node, value, path)
            return
        if not self._type_fits(node, value, path):
            return
        if node.enum is not None and value not in node.enum:
            self.add(unsupported(path, value, [str(item) for item in node.enum]))
        if isinstance(value, str):
            self._string(node, value, path)
        elif isinstance(value, dict):
            self._object(node, value, old, path)
        elif isinstance(value, list):
            self._list(node, value, old, path)
        elif not isinstance(value, bool):
            self._number(node, value, path)
        for branch in ("allOf", "anyOf", "oneOf", "not"):
            if branch in node.limits:
                self._combination(node, branch, value, path)

    def _wrong_type(self, node: Node, value: Any, path: str) -> None:
        shown = {"object": "object", "array": "array", "bool": "boolean"}.get(json_type(value), json_type(value))
        if value is None:
            shown = "null"
        elif shown == "number":
            shown = "integer" if isinstance(value, int) else "number"
        expected = "integer,string" if node.int_or_string else node.kind
        detail = f'{path or "<nil>"} in body must be of type {expected}: "{shown}"'
        self.add(FieldError("FieldValueTypeInvalid", path or "<nil>", shown, detail))

    def _type_fits(self, node: Node, value: Any, path: str) -> bool:
        actual = json_type(value)
        if node.int_or_string:
            fits = actual == "string" or (isinstance(value, int) and not isinstance(value, bool))
        else:
            fits = {
                "object": actual == "object",
                "array": actual == "array",
                "string": actual == "string",
                "boolean": actual == "bool",
                "number": actual == "number",
                "integer": actual == "number" and float(value).is_integer() if actual == "number" else False,
            }.get(node.kind, True)
        if not fits:
            self._wrong_type(node, value, path)
        return fits

    def _string(self, node: Node, value: str, path: str) -> None:
        limits = node.limits
        if "maxLength" in limits and len(value) > limits["maxLength"]:
            self.add(
                FieldError("FieldValueTooLong", path, NO_VALUE, f"may not be more than {limits['maxLength']} bytes")
            )
        if "minLength" in limits and len(value) < limits["minLength"]:
            self.add(invalid_value(path, value, f"{path} in body should be at least {limits['minLength']} chars long"))
        if node.pattern is not None and not node.pattern[1].search(value):
            self.add(invalid_value(path, value, f"{path} in body should match '{node.pattern[0]}'"))
        if node.format and not _format_fits(node.format, value):
            self.add(invalid_value(path, value, f'{path} in body must be of type {node.format}: "{value}"'))

    def _number(self, node: Node, value: float, path: str) -> None:
        limits = node.limits
        if "maximum" in limits:
            exclusive = limits.get("exclusiveMaximum")
            if value > limits["maximum"] or (exclusive and value == limits["maximum"]):
                words = "less than" if exclusive else "less than or equal to"
                self.add(invalid_value(path, value, f"{path} in body should be {words} {limits['maximum']}"))
        if "minimum" in limits:
            exclusive = limits.get("exclusiveMinimum")
            if value < limits["minimum"] or (exclusive and value == limits["minimum"]):
                words = "greater than" if exclusive else "greater than or equal to"
                self.add(invalid_value(path, value, f"{path} in body should be {words} {limits['minimum']}"))
        if limits.get("multipleOf") and (value / limits["multipleOf"]) % 1:
            self.add(invalid_value(path, value, f"{path} in body should be a multiple of {limits['multipleOf']}"))
        bits = {"int32": 31, "int64": 63}.get(node.format)
        if bits and not -(2**bits) <= value < 2**bits:
            self.add(invalid_value(path, value, f'{path} in body must be of type {node.format}: "{value}"'))

    def _object(self, node: Node, value: Obj, old: Any, path: str) -> None:
        limits = node.limits
        for name in node.required:
            if name not in value:
                self.add(required(f"{path}.{name}" if path else name))
        if "maxProperties" in limits and len(value) > limits["maxProperties"]:
            detail = f"must have at most {limits['maxProperties']} items"
            self.add(FieldError("FieldValueTooMany", path, len(value), detail))
        if "minProperties" in limits and len(value) < limits["minProperties"]:
            detail = f"{path} in body should have at least {limits['minProperties']} properties"
            self.add(invalid_value(path, len(value), detail))
        for name, item in value.items():
            child = node.properties.get(name) or node.additional
            if child is not None and not (not path and name == "metadata"):
                self.schema(child, item, _child(old, name), f"{path}.{name}" if path else name)

    def _list(self, node: Node, value: list[Any], old: Any, path: str) -> None:
        limits = node.limits
        if "maxItems" in limits and len(value) > limits["maxItems"]:
            detail = f"must have at most {limits['maxItems']} items"
            self.add(FieldError("FieldValueTooMany", path, len(value), detail))
        if "minItems" in limits and len(value) < limits["minItems"]:
            detail = f"{path} in body should have at least {limits['minItems']} items"
            self.add(invalid_value(path, len(value), detail))
        if node.items is not None:
            for index, item in enumerate(value):
                self.schema(node.items, item, _correlate(node, old, index, item), f"{path}[{index}]")

    def _combination(self, node: Node, branch: str, value: Any, path: str) -> None:
        results = []
        parts = node.limits[branch]
        for part in parts if isinstance(parts, list) else [parts]:
            probe = _Checker()
            probe.schema(_branch(part), value, MISSING, path)
            results.append(probe.errors)
        passed = sum(not errors for errors in results)
        if branch == "allOf":
            self.errors += [error for errors in results for error in errors]
        elif branch == "not" and passed:
            self.add(invalid_value(path or "<nil>", "", f'"{path}" must not validate the schema (not)'))
        elif branch == "anyOf" and not passed:
            self.add(invalid_value(path or "<nil>", "", f'"{path}" must validate at least one schema (anyOf)'))
        elif branch == "oneOf" and passed != 1:
            found = "Found none valid" if not passed else f"Found {passed} valid alternatives"
            self.add(
                invalid_value(path or "<nil>", "", f'"{path}" must validate one and only one schema (oneOf). {found}')
            )

    def lists(self, node: Node, value: Any, old: Any, path: str) -> None:
        """Find duplicates in sets and list maps."""
        if old is not MISSING and value == old:
            return
        if isinstance(value, list):
            if node.list_type in ("set", "map"):
                self._duplicates(node, value, path)
            if node.items is not None:
                for index, item in enumerate(value):
                    self.lists(node.items, item, _correlate(node, old, index, item), f"{path}[{index}]")
        elif isinstance(value, dict):
            for name, item in value.items():
                child = node.properties.get(name) or node.additional
                if child is not None and isinstance(item, dict | list):
                    self.lists(child, item, _child(old, name), f"{path}.{name}" if path else name)

    def _duplicates(self, node: Node, value: list[Any], path: str) -> None:
        seen: list[Any] = []
        for index, item in enumerate(value):
            key = item
            if node.list_type == "map":
                key = {name: item[name] for name in node.map_keys if name in item} if isinstance(item, dict) else item
            if key in seen:
                self.add(duplicate_value(f"{path}[{index}]", key))
            seen.append(key)

    def rules(self, node: Node, value: Any, old: Any, path: str) -> None:
        """Evaluate the CEL rules of every place that holds a value."""
        if value is None:
            return
        unchanged = old is not MISSING and value == old
        for rule in rules_of(node):
            if unchanged and not rule.transition:
                continue
            before = None if old is MISSING else view(node, old)
            error = rule.check(view(node, value), before, path, value)
            if error is not None:
                self.add(error)
        if isinstance(value, dict):
            for name, item in value.items():
                child = node.properties.get(name) or node.additional
                if child is not None:
                    self.rules(child, item, _child(old, name), f"{path}.{name}" if path else name)
        elif isinstance(value, list) and node.items is not None:
            for index, item in enumerate(value):
                self.rules(node.items, item, _correlate(node, old, index, item), f"{path}[{index}]")


_BRANCHES: dict[int, tuple[Obj, Node]] = {}


def _branch(schema: Obj) -> Node:
    """Compile a schema below allOf, anyOf, oneOf or not, once."""
    from kubetune_local.apiserver.schema.node import compile_structural

    known = _BRANCHES.get(id(schema))
    if known is None or known[0] is not schema:
        known = _BRANCHES[id(schema)] = (schema, compile_structural(schema))
    return known[1]


_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+$")
_HOSTNAME = re.compile(
    r"^([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?)(\.[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?)*$"
)
_DURATION = re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*$|^0$")


def _format_fits(name: str, value: str) -> bool:
    """Check the string formats that the API server supports; others are ignored, as there."""
    try:
        match name:
            case "date-time":
                return "T" in value.upper() and datetime.fromisoformat(value).tzinfo is not None
            case "date":
                return bool(date.fromisoformat(value))
            case "byte":
                base64.b64decode(value, validate=True)
            case "ipv4":
                ipaddress.IPv4Address(value)
            case "ipv6":
                ipaddress.IPv6Address(value)
            case "cidr":
                ipaddress.ip_network(value, strict=False)
            case "uuid" | "uuid3" | "uuid4" | "uuid5":
                uuid.UUID(value)
            case "uri":
                return bool(urlparse(value).scheme or value.startswith("/"))
            case "email":
                return bool(_EMAIL.match(value))
            case "hostname":
                return bool(_HOSTNAME.match(value))
            case "duration":
                return bool(_DURATION.match(value))
    except (ValueError, binascii.Error):
        return False
    return True
