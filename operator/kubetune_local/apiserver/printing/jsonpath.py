"""JSONPath as `k8s.io/client-go/util/jsonpath` reads it, for the printer columns of custom resources.

Fields (`.a.b`, `['a']`, `.a\\.b`), indexes and slices (`[0]`, `[-1]`, `[0:2]`), unions (`[0,2]`, `['a','b']`),
wildcards (`[*]`, `.*`), recursive descent (`..a`) and filters (`[?(@.type=="Ready")]`). Missing keys find nothing.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

Step = Callable[[Any], Iterable[Any]]
_NAME = re.compile(r"((?:\\.|[^\\.\[\]*])+)")
_SLICE = re.compile(r"^(-?\d*)(?::(-?\d*))?(?::(\d*))?$")
_COMPARISON = re.compile(r"^(.*?)\s*(==|!=|<=|>=|<|>)\s*(.*)$", re.DOTALL)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


class InvalidPath(ValueError):
    """A path that cannot be read."""


def find(path: str, value: Any) -> list[Any]:
    """Return what a path finds in a value.

    Raises:
        InvalidPath: The path cannot be read.
    """
    found = [value]
    for step in compile_path(path):
        found = [each for item in found for each in step(item)]
    return found


@lru_cache(maxsize=512)
def compile_path(path: str) -> tuple[Step, ...]:
    """Take a path apart into steps, each from a value to the values it finds."""
    rest = path.strip().removeprefix("{").removesuffix("}").removeprefix("$").removeprefix("@")
    steps: list[Step] = []
    while rest:
        if rest.startswith("["):
            inside, rest = _bracket(rest)
            steps.append(_subscript(inside))
        elif rest.startswith(".."):
            steps.append(_descend)
            rest = rest[1:] if rest[2:3] not in ("[", "") else rest[2:]
        elif rest.startswith(".*"):
            steps.append(_all)
            rest = rest[2:]
        elif rest.startswith(".["):
            rest = rest[1:]
        else:
            match = _NAME.match(rest.removeprefix("."))
            if match is None:
                if rest == ".":
                    break
                raise InvalidPath(f"cannot read {rest!r} in the path {path!r}")
            steps.append(_field(re.sub(r"\\(.)", r"\1", match[1])))
            rest = rest.removeprefix(".")[match.end() :]
    return tuple(steps)


def _bracket(text: str) -> tuple[str, str]:
    """Split `[inside]rest`, with brackets in quotes and in filters left alone."""
    depth, quote = 0, ""
    for index, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
            if not depth:
                return text[1:index].strip(), text[index + 1 :]
    raise InvalidPath(f"unterminated [ in {text!r}")


def _subscript(inside: str) -> Step:
    if inside == "*":
        return _all
    if inside.startswith("?"):
        return _filter(inside[1:].strip().removeprefix("(").removesuffix(")"))
    parts = [part.strip() for part in re.split(r",(?=(?:[^'\"]*['\"][^'\"]*['\"])*[^'\"]*$)", inside)]
    steps = [_element(part) for part in parts]
    return steps[0] if len(steps) == 1 else lambda value: (found for step in steps for found in step(value))


def _element(part: str) -> Step:
    if part[:1] in ("'", '"'):
        return _field(re.sub(r"\\(.)", r"\1", part[1:-1]))
    match = _SLICE.match(part)
    if match is None or not part:
        raise InvalidPath(f"invalid array index {part}")
    start, stop, step = match.groups()
    if ":" not in part:
        return _index(int(start))
    limits = slice(int(start) if start else None, int(stop) if stop else None, int(step) if step else None)
    return lambda value: value[limits] if isinstance(value, list) else ()


def _field(name: str) -> Step:
    return lambda value: [value[name]] if isinstance(value, dict) and name in value else ()


def _index(number: int) -> Step:
    def step(value: Any) -> Iterable[Any]:
        inside = isinstance(value, list) and -len(value) <= number < len(value)
        return [value[number]] if inside else ()

    return step


def _all(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _descend(value: Any) -> Iterable[Any]:
    """The value itself and all that is below it."""
    yield value
    for child in _all(value):
        if isinstance(child, dict | list):
            yield from _descend(child)


def _filter(condition: str) -> Step:
    match = _COMPARISON.match(condition)
    if match is None:
        present = _operand(condition)
        return lambda value: [item for item in _all(value) if present(item)]
    left, compare, right = _operand(match[1]), _COMPARE[match[2]], _operand(match[3])

    def holds(item: Any) -> bool:
        pair = left(item), right(item)
        try:
            return bool(pair[0] and pair[1]) and compare(pair[0][0], pair[1][0])
        except TypeError:
            return False

    return lambda value: [item for item in _all(value) if holds(item)]


def _operand(text: str) -> Callable[[Any], list[Any]]:
    """Read one side of a comparison: a path from `@`, or a literal."""
    text = text.strip()
    if text.startswith("@"):
        return lambda item: find(text[1:], item)
    literal: Any = text[1:-1] if text[:1] in ("'", '"') else _number(text)
    return lambda item: [literal]


def _number(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)
    except ValueError as error:
        raise InvalidPath(f"cannot read {text!r} in a filter") from error
