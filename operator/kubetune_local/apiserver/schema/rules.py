"""CEL rules of custom resources (`x-kubernetes-validations`), compiled once.

The evaluator is the library `common-expression-language` (Rust, about 20 us a rule); the functions that Kubernetes
adds to CEL are given to it here. Source: https://kubernetes.io/docs/reference/using-api/cel/.
"""

import functools
import itertools
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import cel
from cel.stdlib import STDLIB_FUNCTIONS

from kubetune_local.apiserver.errors import NO_VALUE, FieldError
from kubetune_local.apiserver.schema.node import Node
from kubetune_local.apiserver.schema.quantity import parse_quantity

Obj = dict[str, Any]
_BUILT_IN = {
    "size", "contains", "startsWith", "endsWith", "matches", "has", "all", "exists", "exists_one", "map", "filter",
    "int", "uint", "double", "string", "bool", "bytes", "dyn", "type", "duration", "timestamp", "getDate",
    "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours", "getMilliseconds", "getMinutes",
    "getMonth", "getSeconds", "max", "min", "optional.of", "optional.none", "hasValue", "value", "orValue", "or",
}  # fmt: skip
_REASONS = ("FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate")
_IDENTIFIER = re.compile(r"^[_a-zA-Z][_a-zA-Z0-9]*$")
_KEYWORDS = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)


def escape(name: str) -> str:
    """Return how CEL sees a property that is no identifier: `a-b` is `a__dash__b`, `namespace` is `__namespace__`."""
    if name in _KEYWORDS:
        return f"__{name}__"
    escaped = (
        name.replace("__", "__underscores__").replace(".", "__dot__").replace("-", "__dash__").replace("/", "__slash__")
    )
    return escaped if _IDENTIFIER.match(escaped) else name


class CompileError(Exception):
    """A rule that cannot be read, or uses a function that is not known here."""


class Program:
    """A compiled expression."""

    def __init__(self, source: str) -> None:
        self.source = source
        try:
            self._program = cel.compile(source)
        except ValueError as error:
            raise CompileError(str(error)) from None
        functions = set(self._program.functions())
        unknown = {name for name in functions if name[0].isalpha()} - _BUILT_IN - set(_functions())
        if unknown:
            names = ", ".join(sorted(unknown))
            raise CompileError(
                f"undeclared reference to '{names}' (not among the CEL functions of the embedded cluster)"
            )
        self.names = frozenset(self._program.variables())
        self._plain = not functions & set(_functions())

    def evaluate(self, variables: Obj) -> Any:
        """Return the value; raises EvaluationError."""
        try:
            return self._program.execute(variables if self._plain else _context(variables))
        except KeyError as error:
            raise EvaluationError(f"no such key: {error.args[0]}") from None
        except (ValueError, TypeError, RuntimeError, IndexError, ArithmeticError) as error:
            raise EvaluationError(str(error)) from None


class EvaluationError(Exception):
    """A rule that failed while it ran."""


class Rule:
    """One entry of `x-kubernetes-validations`."""

    def __init__(self, entry: Obj) -> None:
        self.source = entry.get("rule", "")
        self.program = Program(self.source)
        self.transition = "oldSelf" in self.program.names
        self.optional_old = bool(entry.get("optionalOldSelf"))
        self.message = entry.get("message", "").strip()
        expression = entry.get("messageExpression")
        self.message_program = Program(expression) if expression else None
        self.reason = entry.get("reason", _REASONS[0])
        self.field_path = entry.get("fieldPath", "")

    def check(self, view: Any, old_view: Any, path: str, value: Any) -> FieldError | None:
        """Evaluate for a value; `old_view` is None when there was no value before."""
        variables = {"self": view}
        if self.transition:
            if self.optional_old:
                old_view = cel.OptionalValue.none() if old_view is None else cel.OptionalValue.of(old_view)
            elif old_view is None:
                return None
            variables["oldSelf"] = old_view
        where = path + self.field_path if path else self.field_path.lstrip(".")
        shown = NO_VALUE if isinstance(value, dict | list) else value
        try:
            if self.program.evaluate(variables) is True:
                return None
        except EvaluationError as error:
            detail = f"{error} evaluating rule: {self.message or self.source}"
            return FieldError("FieldValueInvalid", path or "<nil>", shown, detail)
        return FieldError(self.reason, where or "<nil>", shown, self._text(variables))

    def _text(self, variables: Obj) -> str:
        if self.message_program is not None:
            try:
                text = self.message_program.evaluate(variables)
            except EvaluationError:
                text = None
            if isinstance(text, str) and text.strip() and "\n" not in text:
                return text
        return self.message or f"failed rule: {self.source}"


def compile_rules(node: Node) -> list[Rule]:
    """Compile the rules of one place; raises CompileError."""
    return [Rule(entry) for entry in node.rules]


@functools.cache
def rules_of(node: Node) -> tuple[Rule, ...]:
    """Return the rules of a place, compiled on first use."""
    return tuple(compile_rules(node))


@functools.cache
def needs_view(node: Node) -> bool:
    """Whether CEL sees something else than the JSON: times, durations, bytes, floats or escaped names."""
    if node.kind == "number" or (node.kind == "string" and node.format in ("date-time", "date", "duration", "byte")):
        return True
    if any(escape(name) != name for name in node.properties):
        return True
    children = (*node.properties.values(), node.items, node.additional)
    return any(needs_view(child) for child in children if child is not None)


def view(node: Node, value: Any) -> Any:
    """Return a value as CEL sees it."""
    if value is None or not needs_view(node):
        return value
    if isinstance(value, dict):
        if node.additional is not None:
            return {key: view(node.additional, item) for key, item in value.items()}
        return {
            escape(key): view(node.properties[key], item) if key in node.properties else item
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [view(node.items, item) for item in value] if node.items is not None else value
    return _scalar(node, value)


def _scalar(node: Node, value: Any) -> Any:
    if node.kind == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    try:
        if node.format in ("date-time", "date") and isinstance(value, str):
            return datetime.fromisoformat(value)
        if node.format == "duration" and isinstance(value, str):
            return cel.evaluate(f"duration({value!r})")
    except (ValueError, RuntimeError):
        return value
    return value


def _context(variables: Obj) -> cel.Context:
    return cel.Context(variables=variables, functions=_functions())


@functools.cache
def _functions() -> dict[str, Callable[..., Any]]:
    return {**STDLIB_FUNCTIONS, **_KUBERNETES}


def _is_quantity(text: str) -> bool:
    try:
        parse_quantity(text)
    except ValueError:
        return False
    return True


def _quantity(text: str) -> float:
    """Quantities compare as numbers; what rules do with them fits a double."""
    return float(parse_quantity(text))


def _find(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    return found.group(0) if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match.group(0) for match in re.finditer(pattern, text)]
    return found if limit < 0 else found[:limit]


_KUBERNETES: dict[str, Callable[..., Any]] = {
    "isSorted": lambda items: all(left <= right for left, right in itertools.pairwise(items)),
    "sum": lambda items: sum(items),
    "find": _find,
    "findAll": _find_all,
    "isQuantity": _is_quantity,
    "quantity": _quantity,
    "asApproximateFloat": float,
    "asInteger": int,
    "isInteger": lambda number: number == int(number),
    "sign": lambda number: (number > 0) - (number < 0),
    "add": lambda left, right: left + right,
    "sub": lambda left, right: left - right,
    "isGreaterThan": lambda left, right: left > right,
    "isLessThan": lambda left, right: left < right,
    "compareTo": lambda left, right: (left > right) - (left < right),
}
