"""Is the schema of a CRD structural, are its patterns, defaults and rules sound?

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

import re
from typing import Any

from kubetune_local.apiserver.errors import FieldError, forbidden_value, invalid_value, required, unsupported
from kubetune_local.apiserver.schema.node import compile_structural
from kubetune_local.apiserver.schema.rules import CompileError, Program
from kubetune_local.apiserver.schema.structural import prune
from kubetune_local.apiserver.schema.validate import validate

Obj = dict[str, Any]
_TYPES = ["array", "boolean", "integer", "number", "object", "string"]
_FORBIDDEN = (
    "$ref",
    "definitions",
    "dependencies",
    "patternProperties",
    "id",
    "deprecated",
    "discriminator",
    "readOnly",
    "writeOnly",
    "xml",
)
_VALUE_ONLY = (
    "type", "properties", "items", "additionalProperties", "default", "nullable", "description", "title",
    "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string", "x-kubernetes-embedded-resource",
)  # fmt: skip
_KEYED = ("x-kubernetes-list-type", "x-kubernetes-list-map-keys")


def schema_errors(schema: Obj, path: str) -> list[FieldError]:
    """Return what is wrong with the schema of one version."""
    errors: list[FieldError] = []
    if schema.get("type") != "object":
        errors.append(invalid_value(f"{path}.type", schema.get("type", ""), "must be object at the root"))
    _check(schema, path, errors)
    return errors


def _check(schema: Obj, path: str, errors: list[FieldError]) -> None:
    errors += [forbidden_value(f"{path}.{name}", f"{name} is not supported") for name in _FORBIDDEN if name in schema]
    _check_type(schema, path, errors)
    if "pattern" in schema:
        try:
            re.compile(schema["pattern"])
        except re.error as error:
            errors.append(
                invalid_value(
                    f"{path}.pattern", schema["pattern"], f"must be a valid regular expression, but isn't: {error}"
                )
            )
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.append(forbidden_value(f"{path}.uniqueItems", detail))
    _check_list(schema, path, errors)
    _check_rules(schema, path, errors)
    if "default" in schema and not errors:
        _check_default(schema, path, errors)
    _check_children(schema, path, errors)


def _check_type(schema: Obj, path: str, errors: list[FieldError]) -> None:
    open_type = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    kind = schema.get("type")
    if not kind and not open_type:
        errors.append(required(f"{path}.type", "must not be empty for specified object fields"))
    elif kind and kind not in _TYPES:
        errors.append(unsupported(f"{path}.type", kind, _TYPES))
    if schema.get("properties") and schema.get("additionalProperties"):
        errors.append(
            forbidden_value(f"{path}.additionalProperties", "must be false or absent when properties are specified")
        )
    if schema.get("additionalProperties") is False:
        errors.append(forbidden_value(f"{path}.additionalProperties", "additionalProperties cannot be set to false"))


def _check_list(schema: Obj, path: str, errors: list[FieldError]) -> None:
    if schema.get("type") == "array" and not isinstance(schema.get("items"), dict):
        errors.append(required(f"{path}.items", "must be specified"))
    if schema.get("x-kubernetes-list-type") == "map":
        keys = schema.get("x-kubernetes-list-map-keys") or []
        if not keys:
            errors.append(
                required(f"{path}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map")
            )
        item = schema.get("items") or {}
        for index, key in enumerate(keys):
            if key not in item.get("properties", {}):
                detail = "entries must all be names of item properties"
                errors.append(invalid_value(f"{path}.x-kubernetes-list-map-keys[{index}]", key, detail))
            elif key not in item.get("required", ()) and "default" not in item["properties"][key]:
                detail = (
                    "this property is in x-kubernetes-list-map-keys,"
                    " so it must have a default or be a required property"
                )
                errors.append(required(f"{path}.items.properties[{key}].default", detail))
    elif "x-kubernetes-list-map-keys" in schema:
        detail = "must not be specified if x-kubernetes-list-type is not map"
        errors.append(forbidden_value(f"{path}.x-kubernetes-list-map-keys", detail))


def _check_rules(schema: Obj, path: str, errors: list[FieldError]) -> None:
    for index, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        for field in ("rule", "messageExpression"):
            if not rule.get(field):
                continue
            try:
                Program(rule[field])
            except CompileError as error:
                here = f"{path}.x-kubernetes-validations[{index}].{field}"
                errors.append(invalid_value(here, rule[field], f"compilation failed: {error}"))
        if not rule.get("rule", "").strip():
            errors.append(required(f"{path}.x-kubernetes-validations[{index}].rule", "rule is not specified"))


def _check_default(schema: Obj, path: str, errors: list[FieldError]) -> None:
    node = compile_structural({**schema, "x-kubernetes-validations": []})
    value = schema["default"]
    if isinstance(value, dict | list) and (removed := prune(node, _copy(value), root=False)):
        errors.append(invalid_value(f"{path}.default", value, f"must not have unknown fields: {', '.join(removed)}"))
        return
    if not (value is None and node.nullable):
        errors += [invalid_value(f"{path}.default", value, error.body()) for error in validate(node, value, None)]


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _check_children(schema: Obj, path: str, errors: list[FieldError]) -> None:
    for name, child in (schema.get("properties") or {}).items():
        if path.endswith("openAPIV3Schema") and name == "metadata":
            continue
        _check(child, f"{path}.properties[{name}]", errors)
    if isinstance(schema.get("items"), dict):
        _check(schema["items"], f"{path}.items", errors)
    if isinstance(schema.get("additionalProperties"), dict):
        _check(schema["additionalProperties"], f"{path}.additionalProperties", errors)
    for branch in ("allOf", "anyOf", "oneOf", "not"):
        parts = schema.get(branch) or []
        for index, part in enumerate(parts if isinstance(parts, list) else [parts]):
            here = f"{path}.{branch}[{index}]" if isinstance(parts, list) else f"{path}.{branch}"
            _check_branch(part, here, errors, bool(schema.get("x-kubernetes-int-or-string")))


def _check_branch(part: Obj, path: str, errors: list[FieldError], int_or_string: bool) -> None:
    """Below a logical junctor only value validations may stand (and the types of an int-or-string)."""
    for name in _VALUE_ONLY:
        if name in part and name not in ("properties", "items") and not (name == "type" and int_or_string):
            errors.append(forbidden_value(f"{path}.{name}", "must be undefined to be structural"))
    for name, child in (part.get("properties") or {}).items():
        _check_branch(child, f"{path}.properties[{name}]", errors, False)
