"""`kubetune validate FILE...`: every mistake of a manifest, with its place in the file."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .admission import Finding, findings, is_foreign
from .manifests import Document, Path_, Span, read_documents, snippet
from .structural import QUOTE, text_of

RED, YELLOW, BOLD, PLAIN = "\033[31m", "\033[33m", "\033[1m", "\033[0m"


@dataclass(frozen=True)
class Located:
    """A finding with its place."""

    document: Document
    finding: Finding

    @property
    def span(self) -> Span:
        """Where it is."""
        return self.document.span(self.finding.path, key=self.finding.at_key)

    def render(self, colour: bool) -> str:
        """Return `file:line:column: message`, the line itself, and the hint."""
        red, bold, plain = (RED, BOLD, PLAIN) if colour else ("", "", "")
        place = f"{self.document.source}:{self.span.line + 1}:{self.span.column + 1}"
        head = f"{bold}{place}: {red}error:{plain}{bold} {self.finding.message}{plain}"
        hint = f"\n  hint: {self.hint}" if self.finding.hint else ""
        return f"{head}\n{snippet(self.document.text, self.span)}{hint}"

    @property
    def hint(self) -> str:
        """What to do; text that must be quoted is shown as it stands in the file."""
        if self.finding.hint != QUOTE:
            return self.finding.hint
        line = self.document.text.splitlines()[self.span.line]
        return f'{QUOTE}: "{line[self.span.column : self.span.end]}"'


def check(documents: list[Document]) -> list[Located]:
    """Return the findings of every document in the order of the file."""
    found = [Located(document, finding) for document in documents for finding in findings(document)]
    return sorted(found, key=lambda entry: (entry.span.line, entry.span.column))


def missing_files(documents: list[Document]) -> list[Located]:
    """Return the file:// sources that are not on this machine."""
    found = []
    for document in documents:
        for path, value in _texts(document.value, ()):
            if value.startswith("file:///") and not Path(value.removeprefix("file://")).exists():
                problem = f"{text_of(path)}: there is no {value.removeprefix('file://')}"
                found.append(Located(document, Finding(path, problem)))
    return found


def _texts(value: Any, path: Path_) -> Iterator[tuple[Path_, str]]:
    if isinstance(value, str):
        yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _texts(item, (*path, key))


def run_validate(files: list[str]) -> int:
    """Print every mistake of the files; 1 when there is one."""
    failed = False
    for file in files:
        documents = read_documents(file)
        mistakes = check(documents)
        failed |= bool(mistakes)
        sys.stderr.writelines(f"{line}\n" for line in _reports(mistakes))
        for line in _summary(file, documents, mistakes):
            print(line)
    return int(failed)


def _reports(mistakes: list[Located]) -> Iterator[str]:
    colour = sys.stderr.isatty()
    for entry in mistakes:
        yield entry.render(colour) + "\n"


def _summary(file: str, documents: list[Document], mistakes: list[Located]) -> Iterator[str]:
    if mistakes:
        yield f"{file}: {len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}"
        return
    if not documents:
        yield f"{file}: no documents"
    for document in documents:
        if is_foreign(document):
            yield f"{file}: {document.kind} {document.name} is not KubeTune's and was not checked"
            continue
        yield f"{file}: {document.kind} {document.name} is valid"
        if "file://" in document.text:
            yield "  note: file:// works in a local cluster only; elsewhere use pvc://, s3:// or hf://"
