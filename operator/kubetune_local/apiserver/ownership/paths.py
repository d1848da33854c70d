"""Field paths: where values stand in an object, in the notation of `fieldsV1`.

A path is a tuple of elements: `f:NAME` for a field, `k:{"name":"a"}` for an item of a keyed list, `v:VALUE` for an item
of a set. Lists without keys, and maps marked atomic, are one value.
Source: `sigs.k8s.io/structured-merge-diff/v6/fieldpath`.
"""

import json
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any

from kubetune_local.apiserver.schema.decode import object_meta
from kubetune_local.apiserver.schema.node import Node

Obj = dict[str, Any]
Path = tuple[str, ...]
ANYTHING = Node()
ANYTHING.preserve = True


class Place(Enum):
    """What stands at a path."""

    VALUE = "value"
    ITEM = "item"
    INNER = "inner"


def compact(value: Any) -> str:
    """JSON as keys of list items are written."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def child_of(node: Node, name: str, root: bool) -> Node:
    """Return the schema of a field; custom resources leave that of `metadata` to the server."""
    if root and name == "metadata":
        return object_meta()
    return node.properties.get(name) or node.additional or ANYTHING


def atomic_map(node: Node) -> bool:
    """Whether a map is owned as a whole."""
    return node.raw.get("x-kubernetes-map-type") == "atomic"


def element_of(node: Node, item: Any) -> str:
    """Return the path element of an item of a keyed list or of a set."""
    if node.list_type == "map":
        keys = {name: item[name] for name in node.map_keys if name in item}
        for name in node.map_keys:
            if name not in keys and node.items is not None and name in node.items.properties:
                fallback = node.items.properties[name].raw.get("default")
                if fallback is not None:
                    keys[name] = fallback
        return f"k:{compact(keys)}"
    return f"v:{compact(item)}"


def keyed(node: Node, value: list[Any]) -> bool:
    """Whether a list is merged by items."""
    if node.list_type == "map":
        return all(isinstance(item, dict) for item in value)
    return node.list_type == "set"


def walk(node: Node, value: Any, root: bool = True, path: Path = ()) -> Iterator[tuple[Path, Any, Place]]:
    """Yield every path of an object with what stands there."""
    if isinstance(value, dict) and value and not atomic_map(node):
        if path:
            yield path, None, Place.INNER
        for name, item in value.items():
            yield from walk(child_of(node, name, root), item, False, (*path, f"f:{name}"))
    elif isinstance(value, list) and value and keyed(node, value):
        yield path, None, Place.INNER
        for item in value:
            here = (*path, element_of(node, item))
            if node.list_type == "set":
                yield here, item, Place.VALUE
                continue
            yield here, None, Place.ITEM
            for name, inner in item.items():
                yield from walk(child_of(node.items or ANYTHING, name, False), inner, False, (*here, f"f:{name}"))
    elif path:
        yield path, value, Place.VALUE


def to_fields(paths: Iterable[Path]) -> Obj:
    """Write a set of paths as `fieldsV1`."""
    tree: Obj = {}
    members = set(paths)
    for path in sorted(members):
        here = tree
        for depth, element in enumerate(path):
            here = here.setdefault(element, {})
            if depth < len(path) - 1 and path[: depth + 1] in members:
                here.setdefault(".", {})
    return tree


def from_fields(tree: Obj, path: Path = ()) -> set[Path]:
    """Read a set of paths from `fieldsV1`."""
    found: set[Path] = set()
    for element, below in tree.items():
        if element == ".":
            found.add(path)
            continue
        here = (*path, element)
        found |= from_fields(below, here) if below else {here}
    return found


def shown(path: Path) -> str:
    """Write a path for people: `.spec.containers[name="a"].image`."""
    text = ""
    for element in path:
        kind, _, rest = element.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            text += "[" + ",".join(f"{key}={compact(item)}" for key, item in sorted(json.loads(rest).items())) + "]"
        else:
            text += f"[={rest}]"
    return text
