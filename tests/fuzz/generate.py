"""Values drawn from a structural schema: types, bounds, patterns, and the rules of the schema by drawing again."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterator
from typing import Any

from kubetune_api import fields
from kubetune_cli.structural import Schema, defaulted, mistakes

Path = tuple[str | int, ...]

ATTEMPTS = 250
_PRINTABLE = string.ascii_letters + string.digits + " -_./:,äß%{}$'\""
#: Values that make sense, for fields whose pattern says little: half of the time one of them is drawn.
_SENSIBLE = {
    fields.URI_PATTERN: (
        "hf://Qwen/Qwen2.5-0.5B-Instruct", "hf://org/data/train.jsonl", "pvc://datasets/support.jsonl",
        "pvc://models/tiny", "s3://bucket/deep/path.parquet", "gs://bucket/x", "https://example.org/data.jsonl",
        "file:///data/x.jsonl", "pvc://data/a%20b.csv", "hf://a", "s3://bucket", "pvc://claim",
    ),
    fields.QUANTITY_PATTERN: ("1", "500m", "16Gi", "2", "100M", "0", "1.5Gi", "64Gi"),
    fields.DURATION_PATTERN: ("90s", "24h", "1d12h", "15m", "0s", "2h30m"),
    fields.DECIMAL_PATTERN: ("0.1", "2e-4", "1", "0", "-1", "0.05", "100", "1e9", "0.999"),
}  # fmt: skip


class Generator:
    """Draws values by a seed."""

    def __init__(self, seed: int, fullness: float = 0.2) -> None:
        self._draw = random.Random(seed)
        self._fullness = fullness

    def value(self, schema: Schema) -> Any:
        """Return a value that the schema, with its rules, allows.

        Raises:
            AssertionError: no such value was drawn in many attempts.
        """
        for attempt in range(ATTEMPTS):
            # Rules such as "one of these two" are met sooner with more or with fewer fields than usual.
            fullness = self._fullness if attempt < 5 else self._draw.choice([0.02, 0.5])
            drawn = self._any(schema, fullness)
            if not schema.get("x-kubernetes-validations") or _holds(drawn, schema):
                return drawn
        raise AssertionError(f"no value in {ATTEMPTS} attempts for {sorted(schema.get('properties', schema))}")

    def other(self, value: Any, schema: Schema) -> Any:
        """Return a value that differs from the one given, or the same when the schema allows no other."""
        for _ in range(ATTEMPTS):
            drawn = self.value(schema)
            if drawn != value:
                return drawn
        return value

    def choice(self, among: list[Any]) -> Any:
        """Return one of them."""
        return self._draw.choice(among)

    def _any(self, schema: Schema, fullness: float) -> Any:
        if "enum" in schema:
            return self._draw.choice(schema["enum"])
        if schema.get("x-kubernetes-int-or-string"):
            return self._draw.choice([self._draw.randint(0, 64), self._text(schema)])
        kind = schema.get("type", "object")
        if kind == "object":
            return self._object(schema, fullness)
        draw = {"string": self._text, "integer": self._integer, "array": self._list}
        return draw[kind](schema) if kind in draw else self._draw.random() < 0.5

    def _integer(self, schema: Schema) -> int:
        least, most = schema.get("minimum", -(2**31)), schema.get("maximum", 2**31 - 1)
        usual = [number for number in (least, least + 1, 2, 4, 8, 100, 1000, most) if least <= number <= most]
        return int(self._draw.choice([*usual, self._draw.randint(least, most)]))

    def _list(self, schema: Schema) -> list[Any]:
        least, most = schema.get("minItems", 0), schema.get("maxItems", 3)
        count = self._draw.choice([least, least, least + 1, min(most, least + 2)])
        items = [self.value(schema["items"]) for _ in range(min(count, most))]
        if keys := schema.get("x-kubernetes-list-map-keys"):
            items = list({tuple(str(item.get(key)) for key in keys): item for item in items}.values())
        return items

    def _object(self, schema: Schema, fullness: float) -> dict[str, Any]:
        if isinstance(extra := schema.get("additionalProperties"), dict):
            count = self._draw.choice([0, 1, 1, 2])
            return {self._matching("[a-z]{1,8}(/[a-z]{1,8})?"): self.value(extra) for _ in range(count)}
        required = schema.get("required", [])
        return {
            name: self.value(child)
            for name, child in schema.get("properties", {}).items()
            if name in required or self._draw.random() < fullness
        }

    def _text(self, schema: Schema) -> str:
        pattern, most = schema.get("pattern"), schema.get("maxLength", 200)
        least = schema.get("minLength", 0)
        for _ in range(ATTEMPTS):
            if pattern in _SENSIBLE and self._draw.random() < 0.8:
                text = self._draw.choice(_SENSIBLE[pattern])
            elif pattern:
                text = self._matching(pattern)
            else:
                length = self._draw.choice([least, 1, 8, 30, most])
                text = "".join(self._draw.choice(_PRINTABLE) for _ in range(min(max(length, least), most, 400)))
            if least <= len(text) <= most:
                return text
        raise AssertionError(f"no text in {ATTEMPTS} attempts for {pattern}")

    def _matching(self, pattern: str) -> str:
        text = "".join(self._pieces(re._parser.parse(pattern)))  # type: ignore[attr-defined]
        assert re.search(pattern, text), (pattern, text)
        return text

    def _pieces(self, parsed: Any) -> Iterator[str]:
        """Yield text that a parsed pattern matches; only what our patterns are made of is known."""
        for operator, argument in parsed:
            name = str(operator)
            if name == "LITERAL":
                yield chr(argument)
            elif name == "IN":
                yield self._one_of(argument)
            elif name == "NOT_LITERAL":
                yield self._draw.choice([char for char in string.ascii_letters if ord(char) != argument])
            elif name == "MAX_REPEAT":
                least, most, inner = argument
                for _ in range(self._draw.randint(least, min(int(most), least + self._draw.choice([0, 1, 3, 9])))):
                    yield from self._pieces(inner)
            elif name == "SUBPATTERN":
                yield from self._pieces(argument[3])
            elif name == "BRANCH":
                yield from self._pieces(self._draw.choice(argument[1]))
            elif name != "AT":
                raise NotImplementedError(f"{name} in a pattern")

    def _one_of(self, members: list[Any]) -> str:
        if str(members[0][0]) == "NEGATE":
            banned = {chr(argument) for operator, argument in members[1:] if str(operator) == "LITERAL"}
            return self._draw.choice([char for char in _PRINTABLE if char not in banned and not char.isspace()])
        allowed = ""
        for operator, argument in members:
            if str(operator) == "LITERAL":
                allowed += chr(argument)
            elif str(operator) == "RANGE":
                allowed += "".join(map(chr, range(argument[0], argument[1] + 1)))
            else:
                raise NotImplementedError(f"{operator} in a set of a pattern")
        return self._draw.choice(allowed)


def _holds(value: Any, schema: Schema) -> bool:
    filled = defaulted(value, schema)
    return not mistakes(filled, {"properties": {}, **schema}) if isinstance(filled, dict) else True


def leaves(value: Any, schema: Schema, path: Path = ()) -> Iterator[tuple[Path, Schema]]:
    """Yield the place and the schema of every value that is no object and no list, and of every empty one."""
    if isinstance(value, dict) and value and "properties" in schema:
        for name, item in value.items():
            yield from leaves(item, schema["properties"][name], (*path, name))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, schema["items"], (*path, index))
    else:
        yield path, schema


def at(value: Any, path: Path) -> Any:
    """Return what is at a place."""
    for step in path:
        value = value[step]
    return value


def changed(value: Any, path: Path, new: Any) -> Any:
    """Return a copy with something else at one place."""
    if not path:
        return new
    step, rest = path[0], path[1:]
    if isinstance(value, dict):
        return {**value, step: changed(value[step], rest, new)}
    return [changed(item, rest, new) if index == step else item for index, item in enumerate(value)]
