"""What was worked out for an object, for as long as what it was worked out from stays the same."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from .keys import Key

_REMEMBERED = 512
Value = TypeVar("Value")


class Memo(Generic[Value]):
    """The last value of each object that was looked at lately."""

    def __init__(self) -> None:
        self._known: OrderedDict[Key, tuple[object, Value]] = OrderedDict()

    def get(self, key: Key, basis: object, work_out: Callable[[], Value]) -> Value:
        """Return the value; work it out when it was not, or from something else."""
        known = self._known.get(key)
        if known is None or known[0] != basis:
            known = (basis, work_out())
            self._known[key] = known
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return known[1]

    def forget(self, key: Key) -> None:
        """Drop the value of an object that is over or gone."""
        self._known.pop(key, None)
