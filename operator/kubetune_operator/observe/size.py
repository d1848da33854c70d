"""How large a status may be: etcd, every watch and every `kubectl get` carry all of it."""

import json
from collections.abc import Callable, Iterator

from .snapshot import Status

LIMIT = 16 * 1024
_SHORT = 256

Cut = Callable[[Status], Status]


def bounded(status: Status) -> Status:
    """Return the status, cut to the limit where it is larger: always the same parts, the least missed first."""
    for cut in _cuts(status):
        if size_of(status) <= LIMIT:
            break
        status = cut(status)
    return status


def size_of(status: Status) -> int:
    """Return the bytes of a status as it is stored."""
    return len(json.dumps(status.dump(), separators=(",", ":"), ensure_ascii=False).encode())


def _cuts(status: Status) -> Iterator[Cut]:
    """Yield what may go: messages of old attempts, long messages, results and artifacts from the end, old attempts."""
    count = len(status.attempts or [])
    yield from (_without_message(index) for index in range(count - 1))
    yield _short_conditions
    for field in ("results", "gates", "artifacts"):
        for _ in getattr(status, field, None) or []:
            yield _without_last(field)
    yield from (_without_first_attempt for _ in range(count - 1))


def _without_message(index: int) -> Cut:
    def cut(status: Status) -> Status:
        attempts = list(status.attempts or [])
        attempts[index] = attempts[index].model_copy(update={"message": None})
        return status.model_copy(update={"attempts": attempts})

    return cut


def _short_conditions(status: Status) -> Status:
    short = [entry.model_copy(update={"message": entry.message[:_SHORT]}) for entry in status.conditions]
    return status.model_copy(update={"conditions": short})


def _without_last(field: str) -> Cut:
    def cut(status: Status) -> Status:
        return status.model_copy(update={field: getattr(status, field)[:-1]})

    return cut


def _without_first_attempt(status: Status) -> Status:
    return status.model_copy(update={"attempts": list(status.attempts or [])[1:]})
