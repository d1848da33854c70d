"""Which objects of a collection a request means."""

from collections.abc import Callable
from dataclasses import dataclass

from kubetune_local.apiserver.cluster import Request
from kubetune_local.apiserver.errors import bad_request, quote
from kubetune_local.apiserver.kinds.strategies import strategy_of
from kubetune_local.apiserver.kinds.strategy import Strategy
from kubetune_local.apiserver.storage.selectors import (
    FieldTerm,
    LabelSelector,
    parse_field_selector,
    parse_label_selector,
)
from kubetune_local.apiserver.storage.store import Stored

_ALWAYS = ("metadata.name", "metadata.namespace")


@dataclass(frozen=True)
class Selection:
    """Namespace, labels and fields."""

    namespace: str
    labels: LabelSelector
    fields: tuple[FieldTerm, ...]
    strategy: Strategy

    def __bool__(self) -> bool:
        return bool(self.labels or self.fields)

    def matches(self, stored: Stored) -> bool:
        """Whether an object is meant."""
        if self.namespace and stored.namespace != self.namespace:
            return False
        if self.labels and not self.labels.matches(stored.obj["metadata"].get("labels") or {}):
            return False
        value = self._value(stored)
        return all(term.matches(value) for term in self.fields)

    def _value(self, stored: Stored) -> Callable[[str], str]:
        def value(path: str) -> str:
            if path == "metadata.name" or (path == "name" and "name" in self.strategy.selectable):
                return stored.name
            if path == "metadata.namespace":
                return stored.namespace
            return self.strategy.field(stored.obj, path)

        return value


def _not_selectable(request: Request, field: str, selects_more: bool) -> str:
    """Say that a field cannot be selected by, as the conversion of the group that the kind is of says it."""
    resource = request.resource
    if resource.custom is None and not selects_more:
        return f'{quote(field)} is not a known field selector: only "metadata.name", "metadata.namespace"'
    if resource.group == "batch":
        return f"field label {quote(field)} not supported for {resource.kind}"
    return f"field label not supported: {field}"


def selection_of(request: Request) -> Selection:
    """Read the selectors of a request; StatusError 400 for fields that the kind cannot be selected by."""
    labels, fields = request.query.get("labelSelector", ""), request.query.get("fieldSelector", "")
    strategy = strategy_of(request.resource)
    selector, terms = parse_label_selector(labels), parse_field_selector(fields)
    for term in terms:
        if term.field not in (*_ALWAYS, *strategy.selectable):
            raise bad_request(_not_selectable(request, term.field, bool(strategy.selectable)))
    if request.name:
        terms = (*terms, FieldTerm("metadata.name", True, request.name))
    return Selection(request.namespace, selector, terms, strategy)
