"""How processes train one model together: alone, or data-parallel with the same batch whatever their number.

A step's examples do not depend on the number of processes. They are spread over micro-batches as ever, each process
takes every n-th, and the gradients, already divided by the supervised tokens of the whole step, are added up. The
first process (rank 0) alone writes: it reports, saves and exports.
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from ..errors import PeerLost, TrainerError, as_trainer_error
from .stop import StopFlag, StopRequested

if TYPE_CHECKING:
    from .rendezvous import Meeting

T = TypeVar("T")
#: Elements of one message with gradients.
_BUCKET = 16 * 2**20


class Alone:
    """One process: nobody to ask, nothing to add."""

    rank = 0
    world = 1
    local_rank = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def share(self, spread: Sequence[T]) -> list[T]:
        """Return the micro-batches of a step that are this process's."""
        return list(spread[self.rank :: self.world])

    def rounds(self, spread: Sequence[T]) -> int:
        """Return how many micro-batches the process with the most of them has."""
        return -(-len(spread) // self.world)

    def begin(self, seed: int, step: int) -> None:
        """Make the randomness of a step ready."""

    def check(self, stop: StopFlag) -> None:
        """Raise StopRequested when a stop was asked of any process; all processes call it together."""
        stop.check()

    def count(self, number: int) -> int:
        """Return the sum of a number over all processes."""
        return number

    def least(self, number: int) -> int:
        """Return the least of a number over all processes."""
        return number

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Add tensors up over all processes, in place."""

    def first(self, work: Callable[[], T]) -> T:
        """Return what the first process makes of it, to all; its errors are everybody's."""
        return work()

    def each(self, work: Callable[[], T]) -> T:
        """Return what each process makes of it for itself, the others after the first one."""
        return work()


class DataParallel(Alone):
    """Several processes, each with the whole model."""

    def __init__(self, meeting: Meeting, device: torch.device) -> None:
        self._meeting, self._device = meeting, device
        self.rank, self.world = meeting.place.rank, meeting.place.world
        self.local_rank = meeting.place.local_rank

    def begin(self, seed: int, step: int) -> None:
        """Make the randomness of a step a function of seed, step and rank: a resume needs no state of the others."""
        torch.manual_seed((seed * 1_000_003 + step) * 65_537 + self.rank)

    def check(self, stop: StopFlag) -> None:
        """Raise StopRequested in all processes at the same place."""
        if self.count(int(stop.requested)):
            raise StopRequested

    def count(self, number: int) -> int:
        """Return the sum of a number over all processes."""
        return self._agreed(number, "SUM")

    def least(self, number: int) -> int:
        """Return the least of a number over all processes."""
        return self._agreed(number, "MIN")

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Add tensors of one dtype up over all processes, in place, some at a time."""
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            self._reduce(flat)
            parts = torch.split(flat, [tensor.numel() for tensor in bucket])
            torch._foreach_copy_(bucket, [part.view_as(tensor) for part, tensor in zip(parts, bucket, strict=True)])

    def first(self, work: Callable[[], T]) -> T:
        """Return what the first process makes of it, to all; its errors are everybody's."""
        import torch.distributed as dist

        answer: list[Any] = [None]
        failure: BaseException | None = None
        if self.leads:
            try:
                answer = [(work(), None)]
                pickle.dumps(answer)
            except Exception as error:
                failure = error
                known = as_trainer_error(error)
                answer = [(None, (type(known), known.message, known.reason))]
        with self._talking():
            dist.broadcast_object_list(answer, src=0)
        if failure is not None:
            raise failure
        made, problem = answer[0]
        if problem is not None:
            raise _error(*problem)
        result: T = made
        return result

    def each(self, work: Callable[[], T]) -> T:
        """Return what each process makes of it for itself, the others after the first one."""
        made: list[T] = []
        self.first(lambda: made.append(work()))
        return made[0] if made else work()

    def _agreed(self, number: int, operation: str) -> int:
        found = torch.tensor(number, dtype=torch.int64)
        self._reduce(found, operation)
        return int(found)

    def _reduce(self, tensor: Tensor, operation: str = "SUM") -> None:
        import torch.distributed as dist

        with self._talking():
            dist.all_reduce(tensor, getattr(dist.ReduceOp, operation))

    @contextlib.contextmanager
    def _talking(self) -> Iterator[None]:
        """Turn what a broken conversation raises into PeerLost; waiting for others is no standstill of our own."""
        try:
            with self._meeting.waiting():
                yield
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            raise PeerLost(self._meeting.story(str(error))) from error


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    for tensor in tensors:
        if bucket and sum(each.numel() for each in bucket) + tensor.numel() > _BUCKET:
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


def _error(kind: type[TrainerError], message: str, reason: str) -> TrainerError:
    error = TrainerError.__new__(kind)
    TrainerError.__init__(error, message, reason=reason)
    return error
