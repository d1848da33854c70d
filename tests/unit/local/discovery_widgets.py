"""A registry that serves Widgets besides the built-in kinds: what the golden documents were taken with."""

import json
from pathlib import Path
from typing import Any

from kubetune_local.apiserver.resources import ALL_VERBS, Registry, Resource

Obj = dict[str, Any]


def golden(name: str) -> Any:
    """Read what a real server said."""
    return json.loads(Path(__file__).with_name(name).read_text())


def widgets() -> list[Resource]:
    """One resource for each version of the CRD."""
    spec = golden("discovery_golden.json")["crd"]["spec"]
    names = spec["names"]
    return [
        Resource(
            group=spec["group"],
            version=version["name"],
            plural=names["plural"],
            singular=names["singular"],
            kind=names["kind"],
            namespaced=True,
            verbs=ALL_VERBS,
            short_names=names["shortNames"],
            categories=names["categories"],
            subresources=version.get("subresources", {}),
            custom=version,
            list_kind=names["listKind"],
            storage_version="v1",
        )
        for version in spec["versions"]
    ]


def registry() -> Registry:
    """Serve Widgets too."""
    served = Registry()
    for resource in widgets():
        served.add(resource)
    return served
