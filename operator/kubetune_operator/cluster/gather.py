"""An object and its children, read afresh or as the watches have shown them -> a Snapshot."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kubetune_api import names
from kubetune_api.evalrun import EvalRun
from kubetune_api.finetunejob import FineTuneJob

from ..errors import ApiError, Forbidden, NotFound
from ..observe import EventView, JobView, Snapshot, Tuning, job_view
from ..observe.nodes import NodeView, node_view
from ..observe.pods import PodView, pod_view
from ..observe.terminal import holds, is_terminal
from ..observe.unreadable import forbidden
from ..plan import Jobs, Plan, Refusal, Subject, parse, plan
from ..plan.candidates import awaited
from ..plan.owner import uid_of
from ..policy_file import PolicyFile
from ..settings import Settings
from .client import Client, Document
from .keys import Key
from .limits import Limits
from .logs import LogReader
from .memo import Memo
from .occupancy import OccupancyReader
from .shared import SharedRead
from .store import Store, of_a_job, owned, trimmed

_NODES_FRESH = 10.0
#: However often the watches wake it up: after so long, an object is read.
_READ_AFTER = 30.0


class Gatherer:
    """Reads the cluster, or looks at what the watches have shown; remembers what is costly to read or to work out."""

    def __init__(self, client: Client, settings: Settings, store: Store | None = None) -> None:
        self._client = client
        self._settings = settings
        self.store = store or Store(settings.namespaces)
        self._read_at: dict[Key, float] = {}
        self._told: dict[Key, list[EventView]] = {}
        """Events that were read last of whatever is waited for."""
        self._parsed: Memo[Subject | Refusal] = Memo()
        self._planned: Memo[Plan | Refusal] = Memo()
        self.policy = PolicyFile(settings.policy)
        self._limits = Limits(client, self.policy)
        self._logs = LogReader(client, settings.progress_interval_seconds)
        self._tuning = Tuning(
            progress_interval=settings.progress_interval_seconds,
            waiting_interval=settings.waiting_interval_seconds,
            max_disruptions=settings.max_disruptions,
            node_lost_grace=settings.node_lost_grace_seconds,
            hopeless_after=settings.hopeless_after_seconds,
        )
        self._occupancy = OccupancyReader(client, settings)
        self._nodes = SharedRead(self._inventory, _NODES_FRESH)

    def may_look(self, key: Key) -> bool:
        """Return whether what the watches have shown of an object will do, for now."""
        if not self.store.complete or self.store.look(key) is None:
            return False
        return time.monotonic() - self._read_at.setdefault(key, time.monotonic()) < _READ_AFTER

    def is_new(self, manifest: Mapping[str, Any]) -> bool:
        """Return whether nothing was ever made for an object.

        That a Job is to be made is stored in the status before it is made, so an operator that ended in between, or
        another one, has left that. Should somebody have cleared the status, the watches know of the Job.
        """
        status = manifest.get("status") or {}
        return not status.get("runs") and not status.get("epoch") and self.store.childless(manifest["metadata"]["uid"])

    async def subject(self, key: Key, look: bool = False) -> Document | None:
        """Return the object as it is now, or as it was seen last; None when it is gone."""
        if look and (seen := self.store.look(key)) is not None:
            return seen
        mark = self.store.mark()
        try:
            manifest = await self._client.get(key.kind, key.namespace, key.name)
        except NotFound:
            self.store.lose(key, mark)
            self._forget(key)
            return None
        self._read_at[key] = time.monotonic()
        self.store.put(manifest)
        return trimmed(manifest)

    async def snapshot(self, key: Key, manifest: Mapping[str, Any], look: bool = False) -> Snapshot | Refusal:
        """Return everything the rules need to know of an object; a Refusal when it cannot be read at all."""
        version = (manifest["metadata"].get("uid"), manifest["metadata"].get("resourceVersion"))
        subject = self._parsed.get(key, version, lambda: parse(manifest))
        if isinstance(subject, Refusal):
            return subject
        try:
            return await self._children(key, subject, manifest, look)
        except Forbidden as error:
            # Nothing is known of the children: to act on a part of them could make a Job twice.
            return forbidden(error.action, error.message)

    def _forget(self, key: Key) -> None:
        self._logs.forget(key)
        self._parsed.forget(key)
        self._planned.forget(key)
        self._told.pop(key, None)
        self._read_at.pop(key, None)

    async def _children(self, key: Key, subject: Subject, manifest: Mapping[str, Any], look: bool) -> Snapshot:
        look = look or self.is_new(manifest)
        jobs = await self._jobs_of(key, subject, look)
        with _reading("get finetunejobs"):
            decided = await self._plan(key, subject, manifest)
            decided = await self._limits.applied(subject, decided)
        if is_terminal(subject.status.conditions if subject.status else []):
            self._forget(key)
            return Snapshot(subject, decided, jobs=jobs, tuning=self._tuning)
        pods = await self._pods_of(key, subject, look)
        with _reading("get evalruns"):
            evaluation = await self._evaluation(key, subject, look)
        return Snapshot(
            subject,
            decided,
            jobs=jobs,
            pods=pods,
            reports=await self._logs.read(key, pods, look),
            events=await self._waited_for(key, subject, list(jobs.values()), pods, look),
            nodes=await self._nodes.get() if _depends_on_nodes(jobs, pods) else None,
            occupancy=await self._occupancy.read() if _wants_accelerators(pods) else None,
            evaluation=evaluation,
            tuning=self._tuning,
        )

    async def _jobs_of(self, key: Key, subject: Subject, look: bool) -> dict[str, JobView]:
        uid = uid_of(subject)
        if look:
            return self.store.jobs(uid)
        mark = self.store.mark()
        with _reading("list jobs"):
            listed = await self._client.list("Job", key.namespace, labelSelector=f"{names.LABEL_OWNER_UID}={uid}")
        self.store.read(uid, "Job", listed, mark)
        return {job["metadata"]["name"]: job_view(job) for job in listed if owned(job, uid)}

    async def _pods_of(self, key: Key, subject: Subject, look: bool) -> list[PodView]:
        uid = uid_of(subject)
        if look:
            found = self.store.pods(uid)
        else:
            mark = self.store.mark()
            with _reading("list pods"):
                listed = await self._client.list("Pod", key.namespace, labelSelector=f"{names.LABEL_OWNER_UID}={uid}")
            self.store.read(uid, "Pod", listed, mark)
            found = [pod_view(pod) for pod in listed if of_a_job(pod)]
        return sorted(found, key=lambda pod: (pod.created, pod.started or pod.created, pod.index))

    async def _plan(self, key: Key, subject: Subject, manifest: Mapping[str, Any]) -> Plan | Refusal:
        policy = self.policy.current
        if isinstance(subject, EvalRun):  # it depends on the jobs that it names
            return plan(subject, self._settings, await self._jobs(subject), policy)
        metadata = manifest["metadata"]
        accepted = subject.status is not None and holds(subject.status.conditions, "Accepted")
        told = [metadata.get(name) for name in ("uid", "generation", "labels", "annotations")]
        basis = (told, manifest.get("spec"), accepted, id(policy))
        return self._planned.get(key, basis, lambda: plan(subject, self._settings, {}, policy))

    async def _jobs(self, subject: EvalRun) -> Jobs:
        """Return the FineTuneJobs that an EvalRun names."""
        found: dict[str, FineTuneJob | None] = {}
        for name in awaited(subject.spec.candidates):
            try:
                parsed = parse(await self._client.get("FineTuneJob", subject.metadata.namespace, name))
                found[name] = parsed if isinstance(parsed, FineTuneJob) else None
            except NotFound:
                found[name] = None
        return found

    async def _evaluation(self, key: Key, subject: Subject, look: bool) -> EvalRun | None:
        if not isinstance(subject, FineTuneJob) or not (subject.status and subject.status.evaluation):
            return None
        found = self.store.look(Key("EvalRun", key.namespace, subject.status.evaluation)) if look else None
        try:
            found = found or await self._client.get("EvalRun", key.namespace, subject.status.evaluation)
        except NotFound:
            return None
        parsed = parse(found)
        return parsed if isinstance(parsed, EvalRun) and owned(found, uid_of(subject)) else None

    async def _waited_for(
        self, key: Key, subject: Subject, jobs: list[JobView], pods: list[PodView], look: bool
    ) -> list[EventView]:
        """Return the events about what is waited for; what was read last is good enough for a look."""
        if not _waits_for_something(jobs, pods):
            self._told.pop(key, None)
            return []
        if not look:
            self._told[key] = await self._events(key, subject, jobs, pods)
        return self._told.get(key, [])

    async def _events(self, key: Key, subject: Subject, jobs: list[JobView], pods: list[PodView]) -> list[EventView]:
        """Return the events about whatever keeps the newest pod from starting; none when they may not be listed."""
        about = [pods[-1].uid] if pods else [job.uid or "" for job in jobs[-1:]]
        about += await self._unbound_claim(key, subject)
        selectors = [f"involvedObject.uid={uid}" for uid in about]
        queued = next((job for job in reversed(jobs) if job.suspended and job.queue), None)
        if queued is not None:
            selectors.append("involvedObject.kind=Workload")
        found: list[EventView] = []
        for selector in selectors:
            try:
                events = await self._client.list("Event", key.namespace, fieldSelector=selector)
            except Forbidden:
                return found
            events.sort(key=lambda event: event.get("lastTimestamp") or event["metadata"]["creationTimestamp"])
            found += [
                EventView(event.get("reason", ""), event.get("message", ""), event["involvedObject"].get("kind", ""))
                for event in events
                if event["involvedObject"].get("kind") != "Workload" or _is_workload_of(event, queued)
            ]
        return found

    async def _unbound_claim(self, key: Key, subject: Subject) -> list[str]:
        name = subject.spec.workspace.claim_name or names.workspace_name(key.name, uid_of(subject))
        try:
            claim = await self._client.get("PersistentVolumeClaim", key.namespace, name)
        except ApiError:
            return []
        return [claim["metadata"]["uid"]] if claim.get("status", {}).get("phase") == "Pending" else []

    async def _inventory(self) -> list[NodeView]:
        return [node_view(node) for node in await self._client.list("Node", None)]


def _is_workload_of(event: Document, job: JobView | None) -> bool:
    """Kueue names the Workload of a Job job-<name>-<hash>."""
    prefix = f"job-{job.name}-" if job is not None else ""
    return bool(prefix) and str(event["involvedObject"].get("name", "")).startswith(prefix)


def _waits_for_something(jobs: list[JobView], pods: list[PodView]) -> bool:
    if any(job.suspended for job in jobs):
        return True
    return any(not pod.ended and not pod.running for pod in pods) or (bool(jobs) and not pods)


def _depends_on_nodes(jobs: Mapping[str, JobView], pods: list[PodView]) -> bool:
    """A pod has no node, or does not leave the one it has; a run that failed may stay away from one."""
    if any(pod.unschedulable is not None or (pod.deleted is not None and not pod.ended) for pod in pods):
        return True
    return any(job.failed_reason is not None for job in jobs.values())


def _wants_accelerators(pods: list[PodView]) -> bool:
    return any(pod.unschedulable is not None and pod.demand is not None and pod.demand.extended for pod in pods)


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Name what was read in the error that says that it may not be."""
    try:
        yield
    except Forbidden as error:
        error.action = what
        raise
