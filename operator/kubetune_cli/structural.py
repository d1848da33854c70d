"""A value against a structural schema, as the API server does it: defaults, then schema, then CEL; every mistake. Pure.

Messages follow the API server's (`spec.training.epochs: Invalid value: ...`), with the nearest valid name as a hint.
"""

import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cel

from .manifests import Path_

Schema = dict[str, Any]
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
#: Left to the API server's own rules for every object.
_OWN = ("apiVersion", "kind", "metadata", "status")

QUOTE = "write it in quotes"


@dataclass(frozen=True)
class Mistake:
    """One thing that the schema does not allow."""

    path: Path_
    message: str
    hint: str = ""
    at_key: bool = False


def text_of(path: Path_) -> str:
    """Return a path as the API server writes it: `spec.dataset.train[0].uri`."""
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in path]
    return "".join(steps).lstrip(".")


def defaulted(value: Any, schema: Schema) -> Any:
    """Return the value with absent fields filled from the schema's defaults, as it would be stored."""
    if isinstance(value, dict) and "properties" in schema:
        filled = dict(value)
        for name, child in schema["properties"].items():
            if name not in filled and "default" in child:
                filled[name] = json.loads(json.dumps(child["default"]))
        return {name: defaulted(item, schema["properties"].get(name, {})) for name, item in filled.items()}
    if isinstance(value, list) and "items" in schema:
        return [defaulted(item, schema["items"]) for item in value]
    return value


def mistakes(value: dict[str, Any], schema: Schema) -> list[Mistake]:
    """Return every mistake of an object of a kind; CEL rules speak where the schema below them is content."""
    known = {**schema, "properties": {**schema["properties"], **{name: {} for name in _OWN}}}
    found = list(_unknown(value, known, ())) + list(_invalid(value, known, ()))
    wrong = [mistake.path for mistake in found if not mistake.at_key]
    return found + list(_rules(defaulted(value, known), known, (), wrong))


def _unknown(value: Any, schema: Schema, path: Path_) -> Iterator[Mistake]:
    """Yield fields that the schema does not have; the server would drop them (kubectl refuses)."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown(item, schema.get("items", {}), (*path, index))
    if not isinstance(value, dict) or "properties" not in schema:
        return
    for name, item in value.items():
        if name in schema["properties"]:
            yield from _unknown(item, schema["properties"][name], (*path, name))
        else:
            hint = _nearest(name, list(schema["properties"]))
            yield Mistake((*path, name), f"unknown field {text_of((*path, name))}", hint, at_key=True)


def _nearest(name: str, known: list[str]) -> str:
    """Return `did you mean X?`: nearest by letters, or the same words in another order or case."""
    folded = {re.sub(r"[^a-z0-9]", "", entry.lower()): entry for entry in known}
    near = difflib.get_close_matches(re.sub(r"[^a-z0-9]", "", name.lower()), list(folded), n=1, cutoff=0.6)
    if near:
        return f"did you mean {folded[near[0]]}?"
    return f"fields here: {', '.join(known)}" if len(known) <= 20 else ""


def _invalid(value: Any, schema: Schema, path: Path_) -> Iterator[Mistake]:
    """Yield breaches of type, enum, pattern, bounds and required fields."""
    if not schema:
        return
    wrong_type = _wrong_type(value, schema, path)
    if wrong_type is not None:
        yield wrong_type
        return
    yield from _scalar(value, schema, path)
    if isinstance(value, dict):
        yield from _object(value, schema, path)
    elif isinstance(value, list):
        yield from _bounds(len(value), schema, path, "Items", "item")
        for index, item in enumerate(value):
            yield from _invalid(item, schema.get("items", {}), (*path, index))


def _wrong_type(value: Any, schema: Schema, path: Path_) -> Mistake | None:
    if schema.get("x-kubernetes-int-or-string"):
        expected, types = "integer or string", (int, str)
    else:
        expected = str(schema.get("type", "object"))
        types = _TYPES[expected]  # type: ignore[assignment]
    if isinstance(value, types) and (isinstance(value, bool) == (expected == "boolean")):
        return None
    given = {bool: "boolean", type(None): "null", dict: "object", list: "array", str: "string"}.get(
        type(value), "number"
    )
    hint = QUOTE if expected == "string" and given in ("number", "boolean") else ""
    if value is None and "default" in schema:
        return None
    return Mistake(path, f'{text_of(path)}: Invalid value: "{given}": must be of type {expected}', hint)


def _scalar(value: Any, schema: Schema, path: Path_) -> Iterator[Mistake]:
    where = text_of(path)
    allowed = schema.get("enum")
    if allowed and value not in allowed:
        near = difflib.get_close_matches(str(value).lower(), {str(one).lower(): one for one in allowed}, n=1)
        hint = next((f"did you mean {one}?" for one in allowed if near and str(one).lower() == near[0]), "")
        choices = ", ".join(map(str, allowed))
        yield Mistake(path, f'{where}: Unsupported value: "{value}": supported values: {choices}', hint)
        return
    if isinstance(value, str):
        yield from _bounds(len(value), schema, path, "Length", "character")
        pattern = schema.get("pattern")
        if pattern and not re.search(pattern, value):
            hint = _pattern_hint(pattern)
            yield Mistake(path, f'{where}: Invalid value: "{value}": should match {pattern}', hint)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value < schema.get("minimum", value):
            yield Mistake(
                path, f"{where}: Invalid value: {value}: should be greater than or equal to {schema['minimum']}"
            )
        if value > schema.get("maximum", value):
            yield Mistake(path, f"{where}: Invalid value: {value}: should be less than or equal to {schema['maximum']}")


def _pattern_hint(pattern: str) -> str:
    from kubetune_api import fields

    return {
        fields.DECIMAL_PATTERN: 'write a decimal in quotes, for example "0.05" or "2e-4"',
        fields.QUANTITY_PATTERN: "write a quantity, for example 8, 500m or 64Gi",
        fields.DURATION_PATTERN: "write a duration, for example 90s, 24h or 1d12h",
        fields.OBJECT_NAME_PATTERN: "use lower case letters, digits, - and ., with a letter or digit at both ends",
        fields.NAME_PATTERN: "use lower case letters, digits and -, with a letter or digit at both ends",
        fields.URI_PATTERN: "write hf://org/name, pvc://claim/path, s3://bucket/path, gs://, https:// or file:///path",
    }.get(pattern, "")


def _bounds(count: int, schema: Schema, path: Path_, suffix: str, unit: str) -> Iterator[Mistake]:
    least, most = schema.get(f"min{suffix}", 0), schema.get(f"max{suffix}", count)
    if count < least:
        yield Mistake(
            path,
            f"{text_of(path)}: Invalid value: should have at least {least} {unit}{'s' * (least != 1)}, has {count}",
        )
    if count > most:
        yield Mistake(
            path, f"{text_of(path)}: Too long: may not have more than {most} {unit}{'s' * (most != 1)}, has {count}"
        )


def _object(value: dict[str, Any], schema: Schema, path: Path_) -> Iterator[Mistake]:
    for name in schema.get("required", []):
        if name not in value:
            yield Mistake(path, f"{text_of((*path, name))}: Required value", at_key=True)
    children = schema.get("properties", {})
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        yield from _bounds(len(value), schema, path, "Properties", "entry")
    for name, item in value.items():
        child = children.get(name, extra if isinstance(extra, dict) else {})
        yield from _invalid(item, child, (*path, name))


def _rules(value: Any, schema: Schema, path: Path_, wrong: list[Path_]) -> Iterator[Mistake]:
    """Yield the CEL rules that do not hold; transition rules (oldSelf) say nothing about a new object."""
    if not any(place[: len(path)] == path for place in wrong):
        for rule in schema.get("x-kubernetes-validations", []):
            if "oldSelf" not in rule["rule"] and not _program(rule["rule"]).execute({"self": value}):
                place = (*path, *filter(None, str(rule.get("fieldPath", "")).split(".")))
                yield Mistake(place, f"{text_of(place)}: Invalid value: {rule['message']}")
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _rules(item, schema.get("properties", {}).get(name, {}), (*path, name), wrong)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _rules(item, schema.get("items", {}), (*path, index), wrong)


@lru_cache(maxsize=256)
def _program(rule: str) -> Any:
    return cel.compile(rule)
