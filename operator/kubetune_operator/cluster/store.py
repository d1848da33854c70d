"""What the watches have shown: looked at first, so that a pass that finds nothing to do reads nothing.

It is for looking only: whoever makes, stops or ends something reads afresh, or writes on the very version it saw. The
API server's resourceVersions grow, so an older one never takes the place of a newer one, in whatever order they come;
and what was deleted stays so, for a UID never comes back.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubetune_api import names

from ..observe import JobView, job_view
from ..observe.pods import PodView, pod_view
from ..observe.terminal import is_settled
from .client import Document
from .keys import SUBJECTS, Key

KINDS = (*SUBJECTS, "Job", "Pod")
_REMEMBERED = 4096
_LIST_SECONDS = 5.0
_NO_VERSION = -1

Where = tuple[str, str, str]
"""Kind, namespace and name."""


@dataclass(slots=True)
class _Entry:
    """An object as it was seen last."""

    uid: str
    version: int
    at: int
    """Number of the change of the store that brought it."""
    owner: str
    body: Document | None = None
    """A FineTuneJob or EvalRun about which something may be left to do."""
    view: JobView | PodView | None = None
    """A child of one of those."""


class Store:
    """Objects by name, and children by the UID of their owner. Of a settled run only UIDs and versions are kept."""

    def __init__(self, namespaces: Sequence[str] = ()) -> None:
        self._wanted = {(kind, namespace) for kind in KINDS for namespace in (namespaces or (None,))}
        self._listed: set[tuple[str, str | None]] = set()
        self._entries: dict[Where, _Entry] = {}
        self._children: dict[str, dict[Where, _Entry]] = {}
        self._running: dict[str, set[Where]] = {}
        """Jobs that are not over, by the UID of their owner, be it settled or not."""
        self.was_complete = False
        """Whether the watches have listed everything, be it once."""
        self._settled: set[str] = set()
        """UIDs of runs of which something was dropped: about those one reads, should they ever go on."""
        self._gone: dict[str, int] = {}
        """Versions up to which UIDs are known to be gone."""
        self._floors: dict[tuple[str, str | None], int] = {}
        """Versions of the last lists: what they lack was gone by then."""
        self._changes = 0
        self._began_at = time.monotonic()
        self._complete = asyncio.Event()

    @property
    def complete(self) -> bool:
        """Whether everything that is watched was listed since the watches began."""
        return self._complete.is_set()

    async def listing(self) -> None:
        """Wait for a moment for the lists with which the watches begin."""
        rest = self._began_at + _LIST_SECONDS - time.monotonic()
        if not self.complete and rest > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._complete.wait(), rest)

    def begin(self) -> None:
        """The watches start anew: what happened meanwhile is not known before each has listed again."""
        self._listed.clear()
        self._complete.clear()
        self._began_at = time.monotonic()

    def list_begins(self, kind: str, namespace: str | None) -> int:
        """A kind is listed anew: what happened meanwhile is not known before that is done. Return the moment."""
        self._listed.discard((kind, namespace))
        self._complete.clear()
        return self._changes

    def mark(self) -> int:
        """Return the moment, for what is read from now on."""
        return self._changes

    def put(self, manifest: Mapping[str, Any]) -> bool:
        """Keep an object; return whether it says anything that was not known."""
        metadata = manifest["metadata"]
        where = _where(manifest)
        uid, version = metadata.get("uid", ""), version_of(manifest)
        known = self._entries.get(where)
        past = known.version if known is not None else self._floor(where)
        if _NO_VERSION < version <= max(self._gone.get(uid, 0), past):
            return False
        if known is not None and known.uid != uid:
            self._remove(where, known)
            known = None
        self._changes += 1
        entry = _Entry(uid, version, self._changes, metadata.get("labels", {}).get(names.LABEL_OWNER_UID, ""))
        self._entries[where] = entry
        if where[0] in SUBJECTS:
            self._keep_subject(entry, manifest)
            return True
        if where[0] == "Job" and owned(manifest, entry.owner):
            self._note_job(where, entry.owner, job_view(manifest))
        if entry.owner and entry.owner not in self._settled:
            entry.view = _view(manifest, entry.owner)
            self._children.setdefault(entry.owner, {})[where] = entry
        return known is None or known.view is None or known.view != entry.view

    def drop(self, manifest: Mapping[str, Any]) -> None:
        """An object was deleted."""
        uid, where = manifest["metadata"].get("uid", ""), _where(manifest)
        known = self._entries.get(where)
        if known is not None and known.uid == uid:
            self._remove(where, known)
        self._bury(uid, version_of(manifest))

    def lose(self, key: Key, mark: int) -> None:
        """An object was not there when it was read, after a moment."""
        known = self._entries.get(key)
        if known is not None and known.at <= mark:
            self._remove((key.kind, key.namespace, key.name), known)

    def listed(self, kind: str, namespace: str | None, uids: Iterable[str], mark: int, version: int = 0) -> list[Key]:
        """A list of a kind was read, begun at a moment: drop what it lacks; return the objects that lost something."""
        self._listed.add((kind, namespace))
        self._floors[kind, namespace] = version
        if self._wanted <= self._listed:
            self._complete.set()
            self.was_complete = True
        there, lost = set(uids), []
        for where, entry in list(self._entries.items()):
            if where[0] != kind or (namespace is not None and where[1] != namespace):
                continue
            if entry.at <= mark and entry.uid not in there:
                self._remove(where, entry)
                lost.append(Key(*where) if kind in SUBJECTS else self._owner(entry))
        return [key for key in lost if key is not None]

    def read(self, uid: str, kind: str, manifests: Iterable[Mapping[str, Any]], mark: int) -> None:
        """The children of a kind that an object has were read, after a moment."""
        there = set()
        for manifest in manifests:
            self.put(manifest)
            there.add(manifest["metadata"].get("uid", ""))
        for where, entry in list(self._children.get(uid, {}).items()):
            if where[0] == kind and entry.at <= mark and entry.uid not in there:
                self._remove(where, entry)

    def look(self, key: Key) -> Document | None:
        """Return an object as it was seen last; None when it must be read."""
        entry = self._entries.get(key)
        return entry.body if entry is not None and entry.uid not in self._settled else None

    def jobs(self, uid: str) -> dict[str, JobView]:
        """Return the Jobs of an object by name."""
        views = (view for view in self._views(uid) if isinstance(view, JobView))
        return {view.name: view for view in sorted(views, key=lambda view: view.name)}

    def pods(self, uid: str) -> list[PodView]:
        """Return the pods of an object's Jobs."""
        return [view for view in self._views(uid) if isinstance(view, PodView)]

    def unstopped(self, uid: str) -> bool:
        """Return whether a Job of an object goes on: of one that is over, it is still to be stopped."""
        return uid in self._running

    def childless(self, uid: str) -> bool:
        """Return whether no child of an object was seen, while all are watched."""
        return self.complete and uid not in self._settled and not self._children.get(uid)

    def _views(self, uid: str) -> Iterator[JobView | PodView]:
        return (entry.view for entry in self._children.get(uid, {}).values() if entry.view is not None)

    def _keep_subject(self, entry: _Entry, manifest: Mapping[str, Any]) -> None:
        if not is_settled(manifest):
            entry.body = trimmed(manifest)
            return
        self._settled.add(entry.uid)
        for child in self._children.pop(entry.uid, {}).values():
            child.view = None

    def _note_job(self, where: Where, owner: str, job: JobView) -> None:
        running = self._running.setdefault(owner, set())
        (running.discard if job.finished or job.deleted else running.add)(where)
        if not running:
            del self._running[owner]

    def _floor(self, where: Where) -> int:
        kind, namespace, _ = where
        return max(self._floors.get((kind, None), 0), self._floors.get((kind, namespace), 0))

    def _owner(self, entry: _Entry) -> Key | None:
        for where, other in self._entries.items():
            if where[0] in SUBJECTS and other.uid == entry.owner:
                return Key(*where)
        return None

    def _remove(self, where: Where, entry: _Entry) -> None:
        self._changes += 1
        del self._entries[where]
        if (running := self._running.get(entry.owner)) is not None:
            running.discard(where)
            if not running:
                del self._running[entry.owner]
        self._bury(entry.uid, entry.version)
        if where[0] in SUBJECTS:
            self._settled.discard(entry.uid)
        elif children := self._children.get(entry.owner):
            children.pop(where, None)
            if not children:
                del self._children[entry.owner]

    def _bury(self, uid: str, version: int) -> None:
        if uid:
            self._gone[uid] = max(version, self._gone.pop(uid, 0))
            if len(self._gone) > _REMEMBERED:
                del self._gone[next(iter(self._gone))]


def version_of(manifest: Mapping[str, Any]) -> int:
    """Return the resourceVersion as a number, which grows; -1 when there is none."""
    text = str(manifest["metadata"].get("resourceVersion", ""))
    return int(text) if text.isdigit() else _NO_VERSION


def trimmed(manifest: Mapping[str, Any]) -> Document:
    """Return an object without what nobody reads of it."""
    metadata = {name: value for name, value in manifest["metadata"].items() if name != "managedFields"}
    return {**manifest, "metadata": metadata}


def owned(child: Mapping[str, Any], uid: str) -> bool:
    """Tell a child from a copy that somebody made of it, labels and all."""
    return any(reference["uid"] == uid for reference in child["metadata"].get("ownerReferences", []))


def of_a_job(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod belongs to a Job."""
    return any(reference["kind"] == "Job" for reference in pod["metadata"].get("ownerReferences", []))


def _where(manifest: Mapping[str, Any]) -> Where:
    metadata = manifest["metadata"]
    return sys.intern(str(manifest["kind"])), sys.intern(str(metadata.get("namespace", ""))), metadata["name"]


def _view(manifest: Mapping[str, Any], owner: str) -> JobView | PodView | None:
    if manifest["kind"] == "Job":
        return job_view(manifest) if owned(manifest, owner) else None
    return pod_view(manifest) if of_a_job(manifest) else None
