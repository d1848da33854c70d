"""Prune and default custom resources, as `k8s.io/apiextensions-apiserver/pkg/apiserver/schema` does."""

import copy
from typing import Any

from kubetune_local.apiserver.schema.node import NO_DEFAULT, Node

Obj = dict[str, Any]
_TYPE_META = ("apiVersion", "kind", "metadata")


def prune(node: Node, value: Any, path: str = "", root: bool = True) -> list[str]:
    """Remove fields the schema does not know, in place; returns their paths."""
    removed: list[str] = []
    _prune(node, value, path, root, removed)
    return removed


def _prune(node: Node, value: Any, path: str, root: bool, removed: list[str]) -> None:
    if isinstance(value, list):
        if node.items is not None:
            for index, item in enumerate(value):
                _prune(node.items, item, f"{path}[{index}]", False, removed)
        return
    if not isinstance(value, dict):
        return
    resource = root or node.embedded
    for name in list(value):
        here = f"{path}.{name}" if path else name
        child = node.properties.get(name)
        if resource and name in _TYPE_META:
            continue
        if child is not None:
            _prune(child, value[name], here, False, removed)
        elif node.additional is not None:
            _prune(node.additional, value[name], here, False, removed)
        elif not node.preserve:
            del value[name]
            removed.append(here)


def default(node: Node, value: Any) -> None:
    """Set the defaults of the schema in place; a null where a default is due counts as absent."""
    if isinstance(value, dict):
        for name, child in node.properties.items():
            if child.default is not NO_DEFAULT and (name not in value or (value[name] is None and not child.nullable)):
                value[name] = copy.deepcopy(child.default)
            elif name in value and value[name] is None and not child.nullable:
                continue
            if child.deep_default and name in value:
                default(child, value[name])
        if node.additional is not None and node.additional.deep_default:
            for item in value.values():
                default(node.additional, item)
    elif isinstance(value, list) and node.items is not None and node.items.deep_default:
        for item in value:
            default(node.items, item)
