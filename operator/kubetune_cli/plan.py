"""`kubetune plan FILE`: what the operator would make of a manifest, without a cluster."""

import sys
from typing import Any

import yaml

from kubetune_operator.plan.plan import Refusal
from kubetune_operator.render import render
from kubetune_operator.settings import Settings

from .admission import is_foreign, schema_of
from .errors import CliError
from .manifests import Document, read_documents
from .structural import defaulted
from .validate import check


def run_plan(file: str, *, quiet: bool) -> int:
    """Print the children as YAML on standard output, and what they need on standard error."""
    documents = read_documents(file)
    mistakes = check(documents)
    if mistakes:
        sys.stderr.writelines(entry.render(sys.stderr.isatty()) + "\n\n" for entry in mistakes)
        raise CliError(f"{file} has {len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}; there is no plan for it")
    for document in documents:
        if is_foreign(document):
            continue
        wanted = defaulted(document.value, schema_of(document.kind))
        children = _children(document, wanted)
        sys.stdout.write(as_yaml(children))
        if not quiet:
            _explain(document, wanted, children)
    return 0


def _children(document: Document, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    answer = render(wanted, Settings(allow_file_uris=True))
    if isinstance(answer, Refusal):
        raise CliError(f"{document.source}: {answer.message}")
    return answer


class _Readable(yaml.SafeDumper):
    """Block text for run files, no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Readable.add_representer(str, _text)


def as_yaml(objects: list[dict[str, Any]]) -> str:
    """Return objects as a stream of YAML documents for people."""
    text: str = yaml.dump_all(objects, Dumper=_Readable, sort_keys=False, width=120, explicit_start=True)
    return text


def _explain(document: Document, wanted: dict[str, Any], children: list[dict[str, Any]]) -> None:
    """Say on standard error what would be made and how much memory it takes."""
    from rich.console import Console

    from .memory import memory_table

    console = Console(stderr=True, highlight=False)
    console.print(f"\n[bold]{document.kind} {document.name}[/] becomes {len(children)} objects:")
    for child in children:
        console.print(f"  {child['kind']:<22} {child['metadata']['name']}", soft_wrap=True)
    if (table := memory_table(wanted)) is not None:
        console.print()
        console.print(table)
