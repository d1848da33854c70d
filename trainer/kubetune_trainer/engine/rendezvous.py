"""Where the processes of a run meet, and how each knows that the others are still there.

meet      the first process listens; everybody signs in; who is missing after a while is named
beat      each process says now and then that it lives; one that falls silent ends the others, in bounded time
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from kubetune_api.report import FinalLine
from kubetune_api.run import RunFile, Stage

from ..errors import BadSpec, PeerLost, TrainerError
from ..paths import host_address
from ..reporting import Reporter
from .stop import StopFlag, StopRequested
from .watchdog import Watchdog

if TYPE_CHECKING:
    import torch

INDEX_ENV = "JOB_COMPLETION_INDEX"
LOCAL_RANK_ENV = "KUBETUNE_LOCAL_RANK"
"""Set for the processes of a pod with several accelerators."""
LOCAL_RENDEZVOUS_ENV = "KUBETUNE_LOCAL_RENDEZVOUS"
#: Pods of a gang start at different times: images are pulled, nodes are woken.
MEETING_SECONDS = 600.0
BEAT_SECONDS = 5.0
SILENCE_SECONDS = 60.0
#: An operation may take as long as the slowest process is allowed to be silent (see watchdog), and some more.
_OPERATION = timedelta(hours=2)
_STORE = timedelta(seconds=30)


@dataclass(frozen=True)
class Place:
    """A process among the processes of a run."""

    rank: int
    world: int
    local_rank: int
    host: str
    port: int


def processes(run: RunFile) -> int:
    """Return how many processes a pod has: one for each accelerator."""
    return max(1, run.compute.accelerators)


def threads(run: RunFile) -> int:
    """Return the threads of each process of a pod."""
    return max(1, run.compute.cpu // (processes(run) if run.stage is Stage.TRAIN else 1))


def place_of(run: RunFile) -> Place | None:
    """Return this process's place; None when it is alone.

    Raises:
        BadSpec: the run file or the environment does not say which of several processes this is.
    """
    local, each, nodes = int(os.environ.get(LOCAL_RANK_ENV, 0)), processes(run), run.compute.nodes
    if nodes * each == 1:
        return None
    address = run.rendezvous if nodes > 1 else os.environ.get(LOCAL_RENDEZVOUS_ENV)
    host, _, port = (address or "").rpartition(":")
    if not host or not port.isdigit():
        raise BadSpec(f"several processes train together, but the run file's rendezvous is {address!r}, not host:port")
    index = os.environ.get(INDEX_ENV, "" if nodes > 1 else "0")
    if not index.isdigit() or int(index) >= nodes:
        raise BadSpec(f"{INDEX_ENV} is {index!r}, not one of 0 to {nodes - 1}; the Job must be Indexed")
    return Place(int(index) * each + local, nodes * each, local, host, int(port))


class Meeting:
    """The processes that have met; a context that ends with the conversation."""

    def __init__(self, place: Place, reporter: Reporter, watchdog: Watchdog) -> None:
        self.place = place
        self._reporter, self._watchdog = reporter, watchdog
        self._closed = threading.Event()
        self._store: Any = None

    def meet(self, device: torch.device, stop: StopFlag, patience: float = MEETING_SECONDS) -> None:
        """Wait for all processes, then make the group.

        Raises:
            StopRequested: a stop was asked for meanwhile.
            TrainerError: somebody did not come in time; the message says who.
        """
        import torch.distributed as dist

        place, deadline = self.place, time.monotonic() + patience
        address = self._address(stop, deadline)
        store = self._open(address, stop, deadline)
        self._sign_in(store, stop, deadline)
        self._store = store
        # From here on: one that signed in and ended while the group is made would be waited for as long as a group may.
        beats = dist.TCPStore(address, place.port, None, False, _STORE, wait_for_workers=False)  # type: ignore[attr-defined]
        threading.Thread(target=self._watch, args=(beats,), name="gang", daemon=True).start()
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        with self.waiting():
            try:
                group = dist.PrefixStore("group", store)  # type: ignore[attr-defined]
                dist.init_process_group(
                    backend, store=group, rank=place.rank, world_size=place.world, timeout=_OPERATION
                )
            except RuntimeError as error:
                raise PeerLost(self.story(str(error))) from error

    def __enter__(self) -> Meeting:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        import torch.distributed as dist

        self._closed.set()
        if kind is None and dist.is_initialized():
            with contextlib.suppress(RuntimeError):
                dist.destroy_process_group()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait for others: silence in here is not ours."""
        with self._watchdog.waiting():
            yield

    def story(self, error: str) -> str:
        """Return what to tell people when the conversation broke."""
        first = error.strip().splitlines()[0][:200] if error.strip() else "no message"
        return (
            f"process {self.place.rank} of {self.place.world} lost another one ({first}); it ends too, and all resume "
            "together at the last checkpoint; why it ended is told by the pod that ended first"
        )

    def _address(self, stop: StopFlag, deadline: float) -> str:
        """Return the address of the first process; its name may come later than this pod."""
        while True:
            try:
                return host_address(self.place.host)
            except OSError as error:
                if time.monotonic() >= deadline:
                    raise TrainerError(
                        f"the name {self.place.host} of the pod with index 0 is not known ({error}); its headless "
                        "Service must publish addresses of pods that are not ready",
                        reason="PeerMissing",
                    ) from error
            _pause(stop)

    def _open(self, address: str, stop: StopFlag, deadline: float) -> Any:
        import torch.distributed as dist

        place = self.place
        leads = place.rank == 0
        while True:
            try:
                if not leads:
                    socket.create_connection((address, place.port), timeout=5).close()
                return dist.TCPStore(address, place.port, None, leads, _STORE, wait_for_workers=False)  # type: ignore[attr-defined]
            except (OSError, RuntimeError) as error:
                if leads or time.monotonic() >= deadline:
                    missing = f"cannot listen on port {place.port}" if leads else "the pod with index 0 did not come"
                    raise TrainerError(
                        f"{missing} ({place.host}:{place.port}): {error}; see that pod's log and events",
                        reason="PeerMissing",
                    ) from error
            _pause(stop)

    def _sign_in(self, store: Any, stop: StopFlag, deadline: float) -> None:
        place = self.place
        store.set(f"here/{place.rank}", socket.gethostname())
        missing = list(range(place.world))
        while missing := [rank for rank in missing if not store.check([f"here/{rank}"])]:
            if time.monotonic() >= deadline:
                ranks = ", ".join(map(str, missing))
                raise TrainerError(
                    f"of {place.world} processes, {ranks} did not come to {place.host}:{place.port} in time; see the "
                    "log and the events of their pods",
                    reason="PeerMissing",
                )
            _pause(stop)

    def _watch(self, store: Any) -> None:
        """Beat, and end this process when another one has fallen silent or the first one cannot be asked."""
        place = self.place
        seen = {rank: (0, time.monotonic()) for rank in range(place.world) if rank != place.rank}
        answered = time.monotonic()
        while not self._closed.wait(BEAT_SECONDS):
            try:
                store.add(f"beat/{place.rank}", 1)
                now = answered = time.monotonic()
                for rank, (count, since) in seen.items():
                    beats = store.add(f"beat/{rank}", 0)
                    seen[rank] = (beats, since if beats == count else now)
                silent = [rank for rank, (_, since) in seen.items() if now - since > SILENCE_SECONDS]
            except RuntimeError:
                silent = [0] if time.monotonic() - answered > SILENCE_SECONDS / 2 else []
            if silent and not self._closed.is_set():
                self._end(silent)

    def _end(self, silent: list[int], leave: Callable[[int], None] = os._exit) -> None:
        error = PeerLost(self.story(f"{', '.join(map(str, silent))} silent for {SILENCE_SECONDS:.0f} s"))
        self._reporter.final(FinalLine(exit_code=error.exit_code, reason=error.reason, message=error.message))
        leave(error.exit_code)


def _pause(stop: StopFlag) -> None:
    if stop.requested:
        raise StopRequested
    time.sleep(0.2)
