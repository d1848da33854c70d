"""Merge an applied configuration into an object, and take out what its manager gave up."""

from collections.abc import Callable
from typing import Any

from kubetune_local.apiserver.ownership.paths import ANYTHING, Path, atomic_map, child_of, compact, element_of, keyed
from kubetune_local.apiserver.schema.node import Node

Obj = dict[str, Any]


def merge_applied(node: Node, live: Any, applied: Any, root: bool = True) -> Any:
    """Return `live` with `applied` merged in: maps by key, keyed lists and sets by item, all else replaced."""
    if isinstance(live, dict) and isinstance(applied, dict) and not atomic_map(node):
        merged = dict(live)
        for name, item in applied.items():
            merged[name] = merge_applied(child_of(node, name, root), live[name], item, False) if name in live else item
        return merged
    if isinstance(live, list) and isinstance(applied, list) and keyed(node, live) and keyed(node, applied):
        return _merge_list(node, live, applied)
    return applied


def _merge_list(node: Node, live: list[Any], applied: list[Any]) -> list[Any]:
    places = {element_of(node, item): index for index, item in enumerate(live)}
    merged = list(live)
    for item in applied:
        place = places.get(element_of(node, item))
        if place is None:
            merged.append(item)
        else:
            merged[place] = merge_applied(node.items or ANYTHING, live[place], item, False)
    return merged


def take_out(node: Node, value: Any, paths: set[Path], keep: Callable[[Path], bool]) -> Any:
    """Return `value` without what stands at `paths`; what `keep` says is needed stays, with all above it.

    An item goes before its fields: without its key it could not be found.
    """
    for path in sorted(paths, key=len):
        if not keep(path):
            value = _without(node, value, path, True)
    return value


def _without(node: Node, value: Any, path: Path, root: bool) -> Any:
    element, rest = path[0], path[1:]
    if isinstance(value, dict) and element.startswith("f:"):
        name = element[2:]
        if name not in value:
            return value
        child = _without(child_of(node, name, root), value[name], rest, False) if rest else None
        emptied = rest and child in ({}, []) and value[name] not in ({}, []) and not root
        if not rest or emptied:
            return {key: item for key, item in value.items() if key != name}
        return {**value, name: child}
    if isinstance(value, list) and element[:2] in ("k:", "v:"):
        return _without_item(node, value, element, rest)
    return value


def _without_item(node: Node, value: list[Any], element: str, rest: Path) -> list[Any]:
    kept = []
    for item in value:
        same = element == f"v:{compact(item)}" or (
            isinstance(item, dict) and node.list_type == "map" and element_of(node, item) == element
        )
        if not same:
            kept.append(item)
        elif rest:
            kept.append(_without(node.items or ANYTHING, item, rest, False))
    return kept
