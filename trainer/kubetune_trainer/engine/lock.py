"""One writer in a folder, whatever Kubernetes believes: claims that only grow, a heartbeat, a check before each write.

    .lock/00000007.json        the claim: who holds the folder; the one with the highest number (its term) counts
    .lock/alive-<nonce>        the holder's heartbeat; gone when it left in good order
    .lock/aside-00000007       where the holder writes what it then renames into place; its successor takes it away

A claim appears whole or not at all, and only one process can make the claim with a number, so a takeover is one
atomic act. Who holds the folder looks again before every durable write, and leaves when there is a newer claim.
Should it freeze between that look and the rename, the rename fails: what it was to rename has gone by then.
Heartbeats are compared by the clock of the file system: clocks of machines may differ as they like.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kubetune_api.run import RunFile

from ..errors import BadSpec, Superseded, TrainerError
from ..paths import LOCK_FOLDER
from . import durable

BEAT_SECONDS = 2.0
#: A heartbeat older than this is that of a process which is frozen, or whose machine is gone.
FRESH_SECONDS = 20.0
#: A predecessor that was told to stop may still be writing its checkpoint.
PATIENCE_SECONDS = 60.0
#: Owners whose epochs a claim remembers.
_REMEMBERED = 64
_CLOSE_SECONDS = 5.0


@dataclass(frozen=True)
class Claim:
    """What a holder writes about itself."""

    term: int
    owner: str
    """owner: uid of the object whose run this is."""
    name: str
    """name of the object, for people."""
    epoch: int
    holder: str
    """holder: host name, process and nonce."""
    nonce: str
    machine: str
    """machine: boot id of the kernel, or empty."""
    epochs: dict[str, int] = field(default_factory=dict)
    """epochs: the highest epoch of each owner that ever held the folder."""


@contextmanager
def only_writer(
    folder: Path, run: RunFile, lost: Callable[[], None] = lambda: None, patience: float = PATIENCE_SECONDS
) -> Iterator[Lock]:
    """Hold a folder: every durable write inside the context is made only while no newer run has taken it over.

    Args:
        folder: What to hold.
        run: Whose run this is, and its epoch.
        lost: Called from another thread soon after somebody took over.
        patience: Seconds to wait for another holder of the same epoch to leave.

    Raises:
        Superseded: a newer epoch of the run has the folder, or took it over meanwhile.
        BadSpec: another object's run has the folder and does not leave.
        TrainerError: another process of the same epoch does not leave.
    """
    lock = Lock(folder, run)
    lock.take(patience)
    try:
        with lock.beating(lost), durable.fenced(lock.check, folder, lock.aside):
            yield lock
    except Superseded:
        raise
    except BaseException as error:
        lock.check_after(error)
        raise
    finally:
        lock.release()


class Lock:
    """The lock of one folder as one process sees it."""

    def __init__(self, folder: Path, run: RunFile) -> None:
        self._folder, self._run = folder, run
        self._place = folder / LOCK_FOLDER
        self._nonce = uuid.uuid4().hex[:12]
        self._machine = _boot_id()
        self._alive: int | None = None
        self.term = 0

    @property
    def aside(self) -> Path:
        """Where the holder writes what it then renames into place."""
        return self._place / f"aside-{self.term:08d}"

    def take(self, patience: float) -> None:
        """Become the holder; see `only_writer`."""
        self._place.mkdir(parents=True, exist_ok=True)
        self._start_heart()
        try:
            deadline = time.monotonic() + patience
            while not self._taken(newest := self._newest(), time.monotonic() >= deadline):
                time.sleep(min(0.2, patience) if newest is not None else 0)
        except BaseException:
            self.release()
            raise
        self._sweep()
        self.aside.mkdir(exist_ok=True)

    def _taken(self, newest: Claim | None, late: bool) -> bool:
        """Claim the folder if its state allows; False to look again."""
        owner, epoch = self._run.run.uid, self._run.epoch
        if newest is not None:
            known = newest.epochs.get(owner, 0)
            if known > epoch:
                raise _superseded(self._folder, epoch, newest)
            older_epoch = newest.owner == owner and newest.epoch < epoch
            if not older_epoch and self._lives(newest):
                if late:
                    raise self._busy(newest)
                return False
        return self._claim(newest)

    def _claim(self, newest: Claim | None) -> bool:
        """Make the next claim; False when another process was faster."""
        identity, epoch = self._run.run, self._run.epoch
        epochs = dict(newest.epochs) if newest else {}
        epochs.pop(identity.uid, None)
        kept = dict(list(epochs.items())[-_REMEMBERED + 1 :]) | {identity.uid: epoch}
        holder = f"{socket.gethostname()}/{os.getpid()}/{self._nonce}"
        term = newest.term + 1 if newest else 1
        name = f"{identity.namespace}/{identity.name}"
        claim = Claim(term, identity.uid, name, epoch, holder, self._nonce, self._machine, kept)
        if not _create(self._place / _claim_name(term), json.dumps(asdict(claim))):
            return False
        self.term = term
        return self._holds()

    def check(self) -> None:
        """Raise Superseded when somebody else holds the folder now."""
        self._probe()  # also makes a network file system look at the folder again
        newest = self._newest()
        if newest is None or newest.nonce != self._nonce:
            raise _superseded(self._folder, self._run.epoch, newest)

    def check_after(self, error: BaseException) -> None:
        """Raise Superseded if that explains an error: the new holder removes what the old one was writing."""
        try:
            self.check()
        except Superseded as superseded:
            raise superseded from error
        except OSError:
            return

    @contextmanager
    def beating(self, lost: Callable[[], None]) -> Iterator[None]:
        """Beat from a thread, which a file system that hangs may hold up but nobody waits for."""
        closed = threading.Event()

        def beat() -> None:
            while not closed.wait(BEAT_SECONDS):
                with contextlib.suppress(OSError):
                    assert self._alive is not None
                    os.utime(self._alive)
                    if not self._holds():
                        lost()
                        return

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            closed.set()
            thread.join(_CLOSE_SECONDS)

    def release(self) -> None:
        """Leave; the claim stays, so that an older epoch still finds that its time is over."""
        if self._alive is None:
            return
        if self.term:
            shutil.rmtree(self.aside, ignore_errors=True)
        with contextlib.suppress(OSError):
            self._heart(self._nonce).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.close(self._alive)
        self._alive = None

    def _start_heart(self) -> None:
        self._alive = os.open(self._heart(self._nonce), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        with contextlib.suppress(OSError):  # not every file system can; the heartbeat tells as well, only later
            fcntl.flock(self._alive, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _lives(self, claim: Claim) -> bool:
        """Tell whether a holder still runs: by the kernel on the same machine, by its heartbeat elsewhere."""
        try:
            handle = os.open(self._heart(claim.nonce), os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            if claim.machine and claim.machine == self._machine and _unlocked(handle):
                return False
            return self._probe() - os.fstat(handle).st_mtime < FRESH_SECONDS
        finally:
            os.close(handle)

    def _busy(self, claim: Claim) -> TrainerError:
        if claim.owner == self._run.run.uid:
            return TrainerError(
                f"another process of this run works in {self._folder}: {claim.holder}; wait for it to end, or delete "
                "its pod",
                reason="WorkspaceBusy",
            )
        return BadSpec(
            f"{claim.name} works in {self._folder}: {claim.holder}; two jobs cannot share a workspace at the same "
            "time: leave out spec.workspace.claimName, name another claim, or start again when that job has ended",
            reason="WorkspaceBusy",
        )

    def _holds(self) -> bool:
        newest = self._newest()
        return newest is not None and newest.nonce == self._nonce

    def _newest(self) -> Claim | None:
        """Return the claim that counts; one that is being written is waited for."""
        deadline = time.monotonic() + FRESH_SECONDS
        while True:
            names = sorted((path.name for path in self._place.glob("[0-9]*.json")), reverse=True)
            if not names:
                return None
            try:
                return Claim(**json.loads((self._place / names[0]).read_text(encoding="utf-8")))
            except FileNotFoundError:
                continue
            except (ValueError, TypeError):
                if time.monotonic() >= deadline:
                    return Claim(int(names[0].split(".")[0]), "", "", 0, "an unreadable claim", "", "")
                time.sleep(0.1)

    def _probe(self) -> float:
        """Return the time by the file system's clock."""
        path = self._place / f".probe-{self._nonce}-{threading.get_ident()}"
        try:
            path.write_bytes(b"")
            return path.stat().st_mtime
        finally:
            path.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove what earlier holders left; first of all the places where they have something to rename."""
        for place in self._place.glob("aside-*"):
            if place.name < self.aside.name:
                _take_away(place)
        for gone in self._place.glob(".gone-*"):
            shutil.rmtree(gone, ignore_errors=True)
        mine = {_claim_name(self.term), self._heart(self._nonce).name}
        for path in self._place.iterdir():
            older = path.suffix == ".json" and path.name < _claim_name(self.term)
            dead = path.name.startswith("alive-") and path.name not in mine and self._stale(path)
            if older or dead:
                path.unlink(missing_ok=True)

    def _stale(self, path: Path) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return self._probe() - path.stat().st_mtime > 10 * FRESH_SECONDS
        return False

    def _heart(self, nonce: str) -> Path:
        return self._place / f"alive-{nonce}"


def _take_away(place: Path) -> None:
    """Rename a folder, which whoever still writes in it cannot undo."""
    with contextlib.suppress(FileNotFoundError):  # another successor was faster, or its holder left
        place.rename(place.with_name(f".gone-{uuid.uuid4().hex[:12]}"))


def _claim_name(term: int) -> str:
    return f"{term:08d}.json"


def _create(path: Path, text: str) -> bool:
    """Write a file whole under a name that nobody has yet; False when somebody has."""
    part = path.with_name(f".{path.name}-{uuid.uuid4().hex[:12]}")
    try:
        _write(part, text, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            os.link(part, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
                raise
            return _create_in_place(path, text)  # a file system without hard links
        durable.sync_folder(path.parent)
        return True
    finally:
        part.unlink(missing_ok=True)


def _create_in_place(path: Path, text: str) -> bool:
    try:
        _write(path, text, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return False
    durable.sync_folder(path.parent)
    return True


def _write(path: Path, text: str, flags: int) -> None:
    handle = os.open(path, flags, 0o644)
    try:
        os.write(handle, text.encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def _unlocked(handle: int) -> bool:
    """Tell whether the kernel of this machine knows nobody who holds an open heartbeat."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _superseded(folder: Path, epoch: int, newer: Claim | None) -> Superseded:
    by = f"epoch {newer.epoch} of {newer.name} took it over: {newer.holder}" if newer else "its lock was removed"
    return Superseded(
        f"this process (epoch {epoch}) no longer has the workspace {folder}: {by}; it stops without writing, and the "
        "newest one goes on from the last checkpoint"
    )
