"""The rules of both kinds as an API server applies them: defaults, schema, then the rules across fields."""

import pytest

from kubetune_api.crdgen import KINDS, object_schema
from kubetune_local.apiserver.schema.node import compile_structural
from kubetune_local.apiserver.schema.structural import default
from kubetune_local.apiserver.schema.validate import validate

from .rule_table import MAY_CHANGE, MAY_NOT_CHANGE, REFUSED, TAKEN, Manifest

NODES = {kind.__name__: compile_structural(object_schema(kind)) for kind in KINDS}


def stored(manifest: Manifest) -> Manifest:
    """Return an object with its defaults."""
    default(NODES[manifest["kind"]], manifest)
    return manifest


def said(new: Manifest, old: Manifest | None = None) -> str:
    """Return everything an API server says against an object."""
    errors = validate(NODES[new["kind"]], stored(new), None if old is None else stored(old))
    return "\n".join(map(str, errors))


@pytest.mark.parametrize("case", TAKEN)
def test_takes(case: str) -> None:
    assert said(TAKEN[case]) == ""


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(case: str) -> None:
    manifest, why = REFUSED[case]
    assert why in said(manifest)


@pytest.mark.parametrize("case", MAY_CHANGE)
def test_may_change(case: str) -> None:
    old, new = MAY_CHANGE[case]
    assert said(new, old) == ""


@pytest.mark.parametrize("case", MAY_NOT_CHANGE)
def test_may_not_change(case: str) -> None:
    old, new, why = MAY_NOT_CHANGE[case]
    assert why in said(new, old)
