"""One fresh read of an object and its children -> a Snapshot."""

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
from ..observe.terminal import is_terminal
from ..observe.unreadable import forbidden
from ..plan import Jobs, Refusal, Subject, parse, plan
from ..plan.candidates import awaited
from ..plan.owner import uid_of
from ..policy_file import PolicyFile
from ..settings import Settings
from .client import Client, Document
from .keys import Key
from .limits import Limits
from .logs import LogReader
from .occupancy import OccupancyReader

_NODES_FRESH = 10.0


class Gatherer:
    """Reads the cluster; remembers only what is costly to read: logs and the list of nodes."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings
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
        self._nodes: tuple[float, list[NodeView] | None] = (-_NODES_FRESH, None)

    async def subject(self, key: Key) -> Document | None:
        """Return the object as it is now, or None when it is gone."""
        try:
            return await self._client.get(key.kind, key.namespace, key.name)
        except NotFound:
            self._logs.forget(key)
            return None

    async def snapshot(self, key: Key, manifest: Mapping[str, Any]) -> Snapshot | Refusal:
        """Return everything the rules need to know of an object; a Refusal when it cannot be read at all."""
        subject = parse(manifest)
        if isinstance(subject, Refusal):
            return subject
        try:
            return await self._children(key, subject)
        except Forbidden as error:
            # Nothing is known of the children: to act on a part of them could make a Job twice.
            return forbidden(error.action, error.message)

    async def _children(self, key: Key, subject: Subject) -> Snapshot:
        mine = {"labelSelector": f"{names.LABEL_OWNER_UID}={uid_of(subject)}"}
        with _reading("list jobs"):
            listed = await self._client.list("Job", key.namespace, **mine)
        jobs = [job for job in listed if _owned(job, uid_of(subject))]
        views = {job["metadata"]["name"]: job_view(job) for job in jobs}
        with _reading("get finetunejobs"):
            decided = plan(subject, self._settings, await self._jobs(subject), self.policy.current)
            decided = await self._limits.applied(subject, decided)
        if is_terminal(subject.status.conditions if subject.status else []):
            self._logs.forget(key)
            return Snapshot(subject, decided, jobs=views, tuning=self._tuning)
        with _reading("list pods"):
            found = await self._client.list("Pod", key.namespace, **mine)
        pods = sorted(
            (pod_view(pod) for pod in found if _of_a_job(pod)),
            key=lambda pod: (pod.created, pod.started or pod.created, pod.index),
        )
        with _reading("get evalruns"):
            evaluation = await self._evaluation(key, subject)
        return Snapshot(
            subject,
            decided,
            jobs=views,
            pods=pods,
            reports=await self._logs.read(key, pods),
            events=await self._events(key, subject, jobs, pods) if _waits_for_something(views, pods) else (),
            nodes=await self._inventory() if _depends_on_nodes(views, pods) else None,
            occupancy=await self._occupancy.read() if _wants_accelerators(pods) else None,
            evaluation=evaluation,
            tuning=self._tuning,
        )

    async def _jobs(self, subject: Subject) -> Jobs:
        """Return the FineTuneJobs that an EvalRun names."""
        if not isinstance(subject, EvalRun):
            return {}
        found: dict[str, FineTuneJob | None] = {}
        for name in awaited(subject.spec.candidates):
            try:
                parsed = parse(await self._client.get("FineTuneJob", subject.metadata.namespace, name))
                found[name] = parsed if isinstance(parsed, FineTuneJob) else None
            except NotFound:
                found[name] = None
        return found

    async def _evaluation(self, key: Key, subject: Subject) -> EvalRun | None:
        if not isinstance(subject, FineTuneJob) or not (subject.status and subject.status.evaluation):
            return None
        try:
            found = await self._client.get("EvalRun", key.namespace, subject.status.evaluation)
        except NotFound:
            return None
        parsed = parse(found)
        return parsed if isinstance(parsed, EvalRun) and _owned(found, uid_of(subject)) else None

    async def _events(self, key: Key, subject: Subject, jobs: list[Document], pods: list[PodView]) -> list[EventView]:
        """Return the events about whatever keeps the newest pod from starting; none when they may not be listed."""
        about = [pods[-1].uid] if pods else [job["metadata"]["uid"] for job in jobs[-1:]]
        about += await self._unbound_claim(key, subject)
        selectors = [f"involvedObject.uid={uid}" for uid in about]
        queued = next((job for job in reversed(jobs) if job_view(job).suspended and job_view(job).queue), None)
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

    async def _inventory(self) -> list[NodeView] | None:
        """Return the nodes, or None when the operator may not list them."""
        read_at, nodes = self._nodes
        if time.monotonic() - read_at < _NODES_FRESH:
            return nodes
        try:
            nodes = [node_view(node) for node in await self._client.list("Node", None)]
        except ApiError as error:
            if error.code != 403:
                raise
            nodes = None
        self._nodes = (time.monotonic(), nodes)
        return nodes


def _owned(child: Document, uid: str) -> bool:
    """Tell a child from a copy that somebody made of it, labels and all."""
    return any(reference["uid"] == uid for reference in child["metadata"].get("ownerReferences", []))


def _of_a_job(pod: Document) -> bool:
    return any(reference["kind"] == "Job" for reference in pod["metadata"].get("ownerReferences", []))


def _is_workload_of(event: Document, job: Document | None) -> bool:
    """Kueue names the Workload of a Job job-<name>-<hash>."""
    prefix = f"job-{job['metadata']['name']}-" if job is not None else ""
    return bool(prefix) and str(event["involvedObject"].get("name", "")).startswith(prefix)


def _waits_for_something(jobs: Mapping[str, JobView], pods: list[PodView]) -> bool:
    if any(job.suspended for job in jobs.values()):
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
