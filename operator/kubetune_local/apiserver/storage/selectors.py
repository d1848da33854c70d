"""Label and field selectors, parsed as `k8s.io/apimachinery/pkg/labels` and `pkg/fields` do."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kubetune_local.apiserver.errors import bad_request

_TOKEN = re.compile(r"\s*(==|!=|=|!|\(|\)|,|<|>|[^\s=!(),<>]+)")
_KEY = re.compile(r"^([A-Za-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term of a label selector."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels satisfy the term; an absent key satisfies `!=` and `notin`."""
        value = labels.get(self.key)
        match self.operator:
            case "exists":
                return value is not None
            case "!":
                return value is None
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
            case ">":
                return value is not None and value.lstrip("-").isdigit() and int(value) > int(self.values[0])
            case _:
                return value is not None and value.lstrip("-").isdigit() and int(value) < int(self.values[0])


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold; none means everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels satisfy the selector."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    def __bool__(self) -> bool:
        return bool(self.requirements)


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _TOKEN.findall(text)
        self.position = 0

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def next(self) -> str:
        token = self.peek()
        self.position += 1
        return token

    def fail(self, found: str, expected: str) -> Exception:
        return bad_request(f"unable to parse requirement: found '{found}', expected: {expected}")

    def requirement(self) -> Requirement:
        if self.peek() == "!":
            self.next()
            return Requirement(self.key(), "!")
        key = self.key()
        operator = self.peek()
        if operator in ("", ","):
            return Requirement(key, "exists")
        self.next()
        if operator in ("in", "notin"):
            return Requirement(key, operator, self.values())
        if operator in ("=", "==", "!="):
            value = "" if self.peek() in ("", ",") else self.next()
            return Requirement(key, "notin" if operator == "!=" else "in", (value,))
        if operator in ("<", ">"):
            value = self.next()
            if not value.lstrip("-").isdigit():
                raise bad_request(f'for {key} {operator} the value must be an integer, got "{value}"')
            return Requirement(key, operator, (value,))
        raise self.fail(operator, "in, notin, =, ==, !=, gt, lt")

    def key(self) -> str:
        key = self.next()
        if not key or not _KEY.match(key):
            raise self.fail(key, "identifier")
        return key

    def values(self) -> tuple[str, ...]:
        if self.next() != "(":
            raise self.fail(self.tokens[self.position - 1] if self.position <= len(self.tokens) else "", "'('")
        values: list[str] = []
        expect_value = True
        while (token := self.next()) != ")":
            if not token:
                raise self.fail("", "',' or ')'")
            if token == ",":
                if expect_value:
                    values.append("")
                expect_value = True
            else:
                values.append(token)
                expect_value = False
        return tuple(values)


def parse_label_selector(text: str) -> LabelSelector:
    """Parse `a=b,c!=d,e in (f,g),!h`; StatusError 400 when it cannot be read."""
    if not text.strip():
        return LabelSelector()
    parser = _Parser(text)
    found = [parser.requirement()]
    while parser.peek():
        separator = parser.next()
        if separator != ",":
            raise bad_request(f"found '{separator}', expected: ',' or 'end of string'")
        found.append(parser.requirement())
    return LabelSelector(tuple(found))


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One term of a field selector."""

    field: str
    equal: bool
    value: str

    def matches(self, fields: Callable[[str], str]) -> bool:
        """Tell whether the field's value satisfies the term."""
        return (fields(self.field) == self.value) is self.equal


def parse_field_selector(text: str) -> tuple[FieldTerm, ...]:
    """Parse `metadata.name=x,status.phase!=Running`; StatusError 400 when it cannot be read."""
    terms = []
    for part in filter(None, re.split(r"(?<!\\),", text)):
        match = re.match(r"^([^=!]+)(!=|==|=)(.*)$", part)
        if match is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        value = re.sub(r"\\([\\,=])", r"\1", match.group(3))
        terms.append(FieldTerm(match.group(1), match.group(2) != "!=", value))
    return tuple(terms)
