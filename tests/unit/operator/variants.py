"""Walks a model of the API and yields, for each field, specs in which only that field is not its default."""

import copy
import enum
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

Spec = dict[str, Any]

#: Values tried in turn for bounded text and numbers; the first that the type takes and that is new is used.
_POOL: tuple[Any, ...] = (
    *(3, 7, 200, 5000),
    *("hf://other/place", "pvc://elsewhere/x.jsonl"),
    *(
        "b" * 40,
        "0.4",
        "17Gi",
        "5h",
        "https://a.example",
        "https://b.example",
        "example.com/npu",
        "/mnt/other",
        "/mnt/another",
        "Exists",
        "NoExecute",
    ),
    *("clauses/rouge1", "clauses/rougeL", "base", "other", "another", "Other text", "0.6"),
)


def variants(model: type[BaseModel], spec: Spec, path: str = "spec") -> Iterator[tuple[str, Spec]]:
    """Yield (path, the whole spec with another value at the path) for every field of a model, however deep."""
    for name, field in model.model_fields.items():
        key = field.alias or name
        for deeper, value in _values(_type_of(field), spec.get(key), f"{path}.{key}"):
            yield deeper, {**copy.deepcopy(spec), key: value}


def _values(kind: Any, current: Any, path: str) -> Iterator[tuple[str, Any]]:
    bare = _bare(kind)
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        whole = current if current is not None else smallest(bare)
        if current is None and whole:
            yield path, whole
        yield from variants(bare, whole, path)
    elif typing.get_origin(bare) is list:
        item = typing.get_args(bare)[0]
        first = current[0] if current else None
        for deeper, value in _values(item, first, f"{path}[0]"):
            yield deeper, [value, *(current or [])[1:]]
    elif typing.get_origin(bare) is dict:
        yield path, {"disk": "ssd"}
    else:
        for value in other_values(kind, current):
            yield path, value


def smallest(model: type[BaseModel]) -> Spec:
    """Return the least that a model takes."""
    spec: Spec = {}
    for name, field in model.model_fields.items():
        if field.is_required():
            spec[field.alias or name] = next(value for _, value in _values(_type_of(field), None, ""))
    return spec


def other_values(kind: Any, current: Any) -> list[Any]:
    """Return values that a type takes and that are not the current one: all of an enum, one of the rest."""
    bare = _bare(kind)
    if isinstance(bare, type) and issubclass(bare, enum.Enum):
        return [member.value for member in bare if member.value != current]
    if bare is bool:
        return [not current]
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    for value in _POOL:
        if isinstance(value, str) != (bare is str) or str(value) == str(current):
            continue
        try:
            adapter.validate_python(value)
        except ValidationError:
            continue
        return [value]
    raise AssertionError(f"no value of the pool fits {kind}")


def _type_of(field: FieldInfo) -> Any:
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def _bare(kind: Any) -> Any:
    """Return a type without annotations and None."""
    if typing.get_origin(kind) is Annotated:
        return _bare(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return _bare(next(part for part in typing.get_args(kind) if part is not type(None)))
    return kind
