"""One fresh read of an object and its children -> a Snapshot."""

import time
from collections.abc import Mapping
from typing import Any

from kubetune_api import names
from kubetune_api.evalrun import EvalRun
from kubetune_api.finetunejob import FineTuneJob

from ..errors import ApiError, NotFound
from ..observe import EventView, Snapshot, Tuning, job_view
from ..observe.nodes import NodeView, node_view
from ..observe.pods import PodView, pod_view
from ..observe.terminal import is_terminal
from ..plan import Jobs, Refusal, Subject, parse, plan
from ..plan.candidates import awaited
from ..plan.owner import uid_of
from ..settings import Settings
from .client import Client, Document
from .keys import Key
from .logs import LogReader

_NODES_FRESH = 10.0


class Gatherer:
    """Reads the cluster; remembers only what is costly to read: logs and the list of nodes."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._logs = LogReader(client, settings.progress_interval_seconds)
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
        mine = {"labelSelector": f"{names.LABEL_OWNER_UID}={uid_of(subject)}"}
        jobs = [job for job in await self._client.list("Job", key.namespace, **mine) if _owned(job, uid_of(subject))]
        tuning = Tuning(
            progress_interval=self._settings.progress_interval_seconds,
            waiting_interval=self._settings.waiting_interval_seconds,
            max_disruptions=self._settings.max_disruptions,
        )
        views = {job["metadata"]["name"]: job_view(job) for job in jobs}
        decided = plan(subject, self._settings, await self._jobs(subject))
        if is_terminal(subject.status.conditions if subject.status else []):
            self._logs.forget(key)
            return Snapshot(subject, decided, jobs=views, tuning=tuning)
        pods = sorted(
            (pod_view(pod) for pod in await self._client.list("Pod", key.namespace, **mine) if _of_a_job(pod)),
            key=lambda pod: (pod.created, pod.started or pod.created),
        )
        waits = any(_waits(pod) for pod in pods) or (bool(views) and not pods)
        starved = any(pod.unschedulable is not None for pod in pods)
        return Snapshot(
            subject,
            decided,
            jobs=views,
            pods=pods,
            reports=await self._logs.read(key, pods),
            events=await self._events(key, subject, jobs, pods) if waits else (),
            nodes=await self._inventory() if starved else None,
            evaluation=await self._evaluation(key, subject),
            tuning=tuning,
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
        """Return the events about whatever keeps the newest pod from starting."""
        about = [pods[-1].uid] if pods else [job["metadata"]["uid"] for job in jobs[-1:]]
        about += await self._unbound_claim(key, subject)
        found: list[EventView] = []
        for uid in about:
            events = await self._client.list("Event", key.namespace, fieldSelector=f"involvedObject.uid={uid}")
            events.sort(key=lambda event: event.get("lastTimestamp") or event["metadata"]["creationTimestamp"])
            found += [
                EventView(event.get("reason", ""), event.get("message", ""), event["involvedObject"].get("kind", ""))
                for event in events
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


def _waits(pod: PodView) -> bool:
    return not pod.ended and not pod.running
