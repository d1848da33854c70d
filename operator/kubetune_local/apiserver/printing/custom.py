"""Columns and cells of custom resources, from `additionalPrinterColumns`."""

import json
from datetime import datetime
from typing import Any

from kubetune_local.apiserver.builtin import description
from kubetune_local.apiserver.printing.ages import UNKNOWN, human_duration, moment
from kubetune_local.apiserver.printing.jsonpath import InvalidPath, find
from kubetune_local.apiserver.schema.node import OBJECT_META

Obj = dict[str, Any]
_HTML = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def columns(version: Obj) -> list[Obj]:
    """Column definitions of a CRD version: the name first, and the age when the CRD names none."""
    texts = description()["schemas"][OBJECT_META]["properties"]
    name = {
        "name": "Name",
        "type": "string",
        "format": "name",
        "description": texts["name"]["description"],
        "priority": 0,
    }
    return [name, *(_column(each) for each in _own(version))]


def cells(version: Obj, obj: Obj, now: datetime) -> list[Any]:
    """Return the cells of one object; what its path does not find is null."""
    return [obj["metadata"]["name"], *(_cell(each, obj, now) for each in _own(version))]


def _own(version: Obj) -> list[Obj]:
    texts = description()["schemas"][OBJECT_META]["properties"]
    age = {
        "name": "Age",
        "type": "date",
        "jsonPath": ".metadata.creationTimestamp",
        "description": texts["creationTimestamp"]["description"],
    }
    return list(version.get("additionalPrinterColumns") or [age])


def _column(column: Obj) -> Obj:
    text = column.get("description") or f"Custom resource definition column (in JSONPath format): {column['jsonPath']}"
    return {
        "name": column["name"],
        "type": column["type"],
        "format": column.get("format", ""),
        "description": text,
        "priority": column.get("priority", 0),
    }


def _cell(column: Obj, obj: Obj, now: datetime) -> Any:
    try:
        found = find(column["jsonPath"], obj)
    except InvalidPath:
        return None
    if not found:
        return None
    value = found[0]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match column["type"]:
        case "string":
            return _text(value)
        case "integer":
            return int(value) if is_number else None
        case "number":
            return float(value) if is_number else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date":
            return _date(value, now)
    return None


def _text(value: Any) -> str:
    """Write a value as Go's JSONPath printer does, with JSON made safe for HTML."""
    if isinstance(value, str):
        return value
    if value is None:
        return "<no value>"
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    return text.translate(_HTML)


def _date(value: Any, now: datetime) -> str | None:
    if not isinstance(value, str):
        return None
    if not value:
        return UNKNOWN
    then = moment(value)
    return "<invalid>" if then is None else human_duration((now - then).total_seconds())
