"""Strategic merge patch: a merge patch that knows which lists are keyed.

Follows `k8s.io/apimachinery/pkg/util/strategicpatch`: `$patch`, `$retainKeys`, `$deleteFromPrimitiveList/FIELD` and
`$setElementOrder/FIELD`. Keys and strategies come from the schemas of the built-in kinds.
"""

from typing import Any

from kubetune_local.apiserver.errors import bad_request
from kubetune_local.apiserver.schema.node import Node

Obj = dict[str, Any]
_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_DELETE = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def strategic_merge(node: Node | None, value: Obj, patch: Obj) -> Obj:
    """Return `value` with `patch` merged in; StatusError 400 for a directive that makes no sense."""
    directive = patch.get(_DIRECTIVE)
    if directive == "replace":
        return {key: item for key, item in patch.items() if key != _DIRECTIVE}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(f"unknown patch type: {directive}")
    merged = dict(value)
    if (kept := patch.get(_RETAIN)) is not None:
        merged = {key: item for key, item in merged.items() if key in kept}
    for key, item in patch.items():
        if not key.startswith("$"):
            _merge_key(node, merged, patch, key, item)
    _parallel_directives(node, merged, patch)
    return merged


def _child(node: Node | None, key: str) -> Node | None:
    if node is None:
        return None
    return node.properties.get(key) or node.additional


def _merge_key(node: Node | None, merged: Obj, patch: Obj, key: str, item: Any) -> None:
    child = _child(node, key)
    if item is None:
        merged.pop(key, None)
    elif isinstance(item, dict):
        old = merged.get(key)
        if child is not None and "replace" in child.strategy and _DIRECTIVE not in item:
            merged[key] = _clean(item)
            return
        result = strategic_merge(child, old if isinstance(old, dict) else {}, item)
        if item.get(_DIRECTIVE) == "delete":
            merged.pop(key, None)
        else:
            merged[key] = result
    elif isinstance(item, list) and child is not None and "merge" in child.strategy:
        old = merged.get(key)
        merged[key] = _merge_list(child, old if isinstance(old, list) else [], item)
    else:
        merged[key] = _clean(item)


def _clean(value: Any) -> Any:
    """Drop nulls and directives from what is taken over as it is."""
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items() if item is not None and not key.startswith("$")}
    return [_clean(item) for item in value] if isinstance(value, list) else value


def _merge_list(node: Node, old: list[Any], patch: list[Any]) -> list[Any]:
    if any(isinstance(item, dict) and item.get(_DIRECTIVE) == "replace" for item in patch):
        return [_clean(item) for item in patch if not (isinstance(item, dict) and item.get(_DIRECTIVE) == "replace")]
    if not node.merge_key:
        return [*old, *(item for item in patch if item not in old)]
    result, named = list(old), []
    for item in patch:
        if not isinstance(item, dict) or node.merge_key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {node.merge_key}")
        matching = [index for index, each in enumerate(result) if each.get(node.merge_key) == item[node.merge_key]]
        if item.get(_DIRECTIVE) == "delete":
            result = [each for index, each in enumerate(result) if index not in matching]
        elif matching:
            result[matching[0]] = strategic_merge(node.items, result[matching[0]], item)
        else:
            result.append(strategic_merge(node.items, {}, item))
        named.append(item[node.merge_key])
    return _normal_order(result, named, [each.get(node.merge_key) for each in old], node.merge_key)


def _normal_order(items: list[Any], named: list[Any], before: list[Any], merge_key: str) -> list[Any]:
    """Order a merged list as the real server does: the patch's items as it has them, the others as they were.

    An item of the others comes before one of the patch only when it did so before (strategicpatch, mergeSortedSlice).
    """
    keys = {item.get(merge_key) for item in items}
    patched = [key for key in dict.fromkeys(named) if key in keys]
    others = [key for key in dict.fromkeys(item.get(merge_key) for item in items) if key not in named]
    order = []
    while patched and others:
        known = others[0] in before and patched[0] in before
        first = others if known and before.index(others[0]) < before.index(patched[0]) else patched
        order.append(first.pop(0))
    order += [*patched, *others]
    return sorted(items, key=lambda item: order.index(item.get(merge_key)))


def _parallel_directives(node: Node | None, merged: Obj, patch: Obj) -> None:
    for key, values in patch.items():
        if key.startswith(_DELETE):
            field = key.removeprefix(_DELETE)
            merged[field] = [item for item in merged.get(field, []) if item not in values]
        elif key.startswith(_ORDER):
            field = key.removeprefix(_ORDER)
            child = _child(node, field)
            if isinstance(merged.get(field), list):
                merged[field] = _ordered(merged[field], values, child.merge_key if child else "")


def _ordered(items: list[Any], order: list[Any], merge_key: str) -> list[Any]:
    """Put the named items in the order asked for; the others stay where they were, relative to their neighbours."""

    def key(item: Any) -> Any:
        return item.get(merge_key) if merge_key and isinstance(item, dict) else item

    wanted = [key(item) for item in order]
    listed = sorted((item for item in items if key(item) in wanted), key=lambda item: wanted.index(key(item)))
    queue = iter(listed)
    return [next(queue) if key(item) in wanted else item for item in items]
