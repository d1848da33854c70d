"""Reads manifests and remembers where everything stands, so that an error can point at it.

Scalars are read as the API server's YAML reader does it (sigs.k8s.io/yaml): `2e-4` without quotes is a number, and a
date stays text.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .errors import CliError

Path_ = tuple[str | int, ...]


class _GoLikeLoader(yaml.SafeLoader):
    """PyYAML with the number and date rules of Go's YAML."""


_GoLikeLoader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if not tag.endswith((":timestamp", ":int", ":float"))]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_INT = re.compile(r"^[-+]?(0|[1-9][0-9_]*|0[0-7_]+|0b[01_]+|0x[0-9a-fA-F_]+)$")
_FLOAT = re.compile(r"^([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$")
_GoLikeLoader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_GoLikeLoader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


@dataclass(frozen=True)
class Span:
    """A place in a file: zero-based line and columns."""

    line: int
    column: int
    end: int


@dataclass
class Document:
    """One YAML document of a file with the place of each of its values."""

    source: str
    text: str
    line: int
    value: Any
    keys: dict[Path_, Span] = field(default_factory=dict)
    """Where the key of a field stands."""
    values: dict[Path_, Span] = field(default_factory=dict)
    """Where the value of a field stands."""
    repeated: list[Path_] = field(default_factory=list)
    """Fields that are given twice in one mapping; YAML keeps the last silently."""

    @property
    def kind(self) -> str:
        """`kind` of the document, or an empty string."""
        return str(self.value.get("kind", "")) if isinstance(self.value, dict) else ""

    @property
    def name(self) -> str:
        """`metadata.name`, or an empty string."""
        metadata = self.value.get("metadata") if isinstance(self.value, dict) else None
        return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""

    def span(self, path: Path_, *, key: bool = False) -> Span:
        """Return the place of a field, or of the nearest field around it that is in the file."""
        for length in range(len(path), 0, -1):
            part = path[:length]
            places = (self.keys, self.values) if key or length < len(path) else (self.values, self.keys)
            for place in places:
                if part in place:
                    return place[part]
        return Span(self.line, 0, 0)


def read_documents(source: str) -> list[Document]:
    """Return the documents of a file, or of standard input for `-`; empty documents are left out.

    Raises:
        CliError: the file cannot be read, or is no YAML.
    """
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CliError(f"{source}: no such file", "give the path of a manifest, or - for standard input") from None
    except IsADirectoryError:
        raise CliError(f"{source} is a folder", "give one manifest, for example FOLDER/finetunejob.yaml") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"{source}: cannot be read: {error}") from error
    name, folder = ("<stdin>", Path.cwd()) if source == "-" else (source, Path(source).resolve().parent)
    try:
        return list(_documents(name, text, folder))
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(name, text, error) from error


def _documents(name: str, text: str, folder: Path) -> Iterator[Document]:
    loader = _GoLikeLoader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            assert node is not None
            document = Document(name, text, node.start_mark.line, None)
            _locate(node, (), document)
            document.value = _plain(loader.construct_document(node), folder)
            if document.value is not None:
                yield document
    finally:
        loader.dispose()


def _locate(node: yaml.Node, path: Path_, document: Document) -> None:
    """Note the place of every key and value below `node`."""
    document.values[path] = _span(node)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            below = (*path, str(key.value))
            if key.value in seen:
                document.repeated.append(below)
            seen.add(key.value)
            document.keys[below] = _span(key)
            _locate(value, below, document)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _locate(item, (*path, index), document)


def _span(node: yaml.Node) -> Span:
    start, end = node.start_mark, node.end_mark
    return Span(start.line, start.column, end.column if end.line == start.line else start.column + 1)


def _plain(value: Any, folder: Path) -> Any:
    """Return the value with keys as text, as in JSON, and `file://./path` made absolute from the file's folder."""
    if isinstance(value, dict):
        return {str(key): _plain(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, folder) for item in value]
    if isinstance(value, str) and re.match(r"file://\.\.?/", value):
        return f"file://{(folder / value.removeprefix('file://')).resolve()}"
    return value


def _syntax_error(name: str, text: str, error: yaml.MarkedYAMLError) -> CliError:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return CliError(f"{name}: not YAML: {error}")
    problem = error.problem or "not YAML"
    where = snippet(text, Span(mark.line, mark.column, mark.column + 1))
    hint = "indent with spaces" if "\\t" in problem else ""
    return CliError(f"{name}:{mark.line + 1}:{mark.column + 1}: {problem}\n{where}", hint)


def snippet(text: str, span: Span) -> str:
    """Return the line of a place with its number and carets below."""
    lines = text.splitlines()
    line = lines[span.line] if span.line < len(lines) else ""
    number = str(span.line + 1)
    carets = " " * span.column + "^" * max(1, min(span.end, len(line)) - span.column)
    return f"  {number} | {line}\n  {' ' * len(number)} | {carets}"


def parse_path(text: str) -> Path_:
    """Return `spec.dataset.train[0].uri` (also `map[key.with.dots]`) as a tuple of keys and indices."""
    parts: list[str | int] = []
    for name, bracket in re.findall(r"([^.\[\]]+)|\[([^\]]*)\]", text):
        parts.append(name or (int(bracket) if bracket.isdigit() else bracket.strip("\"'")))
    return tuple(parts)
