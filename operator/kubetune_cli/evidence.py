"""What `explain` reads of a run and of what stands in its way. What may not be read is said, with the missing right."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kubetune_api import names
from kubetune_operator.observe.nodes import NodeView, node_view
from kubetune_operator.observe.occupancy import Occupancy, holders
from kubetune_operator.observe.pods import pod_view
from kubetune_operator.observe.terminal import is_over

from .access import GROUP_PATH, ApiError, Cluster
from .figures import moment

Object = dict[str, Any]
#: Nodes whose pods are asked for one by one.
_NODES_ASKED = 30


@dataclass
class Evidence:
    """A run and its surroundings at one moment."""

    run: Object
    evaluation: Object | None = None
    """The EvalRun that a FineTuneJob owns."""
    jobs: Sequence[Object] = ()
    pods: Sequence[Object] = ()
    """Oldest first."""
    claims: Sequence[Object] = ()
    """Claims that the run made, and those that its pods name."""
    workloads: Sequence[Object] = ()
    """Kueue's view of the Jobs."""
    events: Sequence[Object] = ()
    """About all of them, oldest first."""
    quotas: Sequence[Object] = ()
    nodes: Sequence[NodeView] | None = None
    occupancy: Occupancy | None = None
    unread: list[str] = field(default_factory=list)
    """What could not be read, and which right is missing."""


class Reader:
    """Reads the evidence; a missing right is noted, not raised."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._core = f"/api/v1/namespaces/{cluster.namespace}"
        self._batch = f"/apis/batch/v1/namespaces/{cluster.namespace}"
        self.unread: list[str] = []

    def read(self, run: Object) -> Evidence:
        """Return what there is to know about a run."""
        mine = {"labelSelector": f"{names.LABEL_OWNER_UID}={run['metadata']['uid']}"}
        pods = sorted(self._list("pods", f"{self._core}/pods", mine), key=_age)
        jobs = sorted(self._list("jobs", f"{self._batch}/jobs", mine), key=_age)
        found = Evidence(run, self._evaluation(run), jobs, pods, unread=self.unread)
        if is_over(run):
            found.events = self._events(found)
            return found
        found.claims = self._claims(mine, pods)
        if any((job.get("spec") or {}).get("suspend") for job in jobs):
            found.workloads = self._workloads(jobs)
        found.events = self._events(found)
        if any("exceeded quota" in str(event.get("message")) for event in found.events):
            found.quotas = self._list("quotas", f"{self._core}/resourcequotas", {}, right="list resourcequotas")
        waiting = [view for view in map(pod_view, pods) if view.unschedulable is not None and not view.ended]
        if waiting:
            nodes = self._list_or_none("nodes", "/api/v1/nodes", {}, right="list nodes")
            found.nodes = None if nodes is None else [node_view(node) for node in nodes]
            wanted = list(waiting[-1].demand.extended) if waiting[-1].demand else []
            if wanted and found.nodes is not None:
                found.occupancy = self._occupancy([node for node in found.nodes if node.amount(wanted[0]) > 0])
        return found

    def _evaluation(self, run: Object) -> Object | None:
        name = (run.get("status") or {}).get("evaluation") if run.get("kind") == "FineTuneJob" else None
        if not name:
            return None
        try:
            return self._cluster.request("GET", self._cluster.path("EvalRun", name))
        except ApiError as error:
            self._note("the evaluation", "get evalruns", error)
            return None

    def _claims(self, mine: dict[str, str], pods: Sequence[Object]) -> list[Object]:
        found = {each["metadata"]["name"]: each for each in self._list("claims", self._claim_path(), mine)}
        for volume in (volume for pod in pods[-1:] for volume in pod["spec"].get("volumes") or []):
            name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if not name or name in found:
                continue
            try:
                found[name] = self._cluster.request("GET", f"{self._claim_path()}/{name}")
            except ApiError as error:
                self._note(f"claim {name}", "get persistentvolumeclaims", error)
        return list(found.values())

    def _claim_path(self) -> str:
        return f"{self._core}/persistentvolumeclaims"

    def _workloads(self, jobs: Sequence[Object]) -> list[Object]:
        """Return the Workloads that Kueue made for the Jobs; where there is no Kueue there are none."""
        uids = {job["metadata"]["uid"] for job in jobs}
        for version in ("v1beta2", "v1beta1"):
            path = f"/apis/kueue.x-k8s.io/{version}/namespaces/{self._cluster.namespace}/workloads"
            found = self._list_or_none("Kueue's workloads", path, {}, right="list workloads.kueue.x-k8s.io")
            if found is not None:
                return [each for each in found if uids & {owner["uid"] for owner in _owners(each)}]
        return []

    def _events(self, found: Evidence) -> list[Object]:
        """Return the events about the run and what belongs to it; one listing of the namespace has them all."""
        about = [found.run, found.evaluation, *found.jobs, *found.pods, *found.claims, *found.workloads]
        uids = {each["metadata"]["uid"] for each in about if each is not None}
        events = self._list("events", f"{self._core}/events", {})
        mine = [event for event in events if (event.get("involvedObject") or {}).get("uid") in uids]
        return sorted(mine, key=event_time)

    def _occupancy(self, nodes: Sequence[NodeView]) -> Occupancy:
        """Return who holds accelerators: all pods of the nodes, else those of ours, else those of this namespace."""
        pods: list[Object] = []
        for node in nodes[:_NODES_ASKED]:
            on_node = self._list_or_none("", "/api/v1/pods", {"fieldSelector": f"spec.nodeName={node.name}"})
            if on_node is None:
                self.unread.append("pods of other namespaces (missing right: list pods in all namespaces)")
                ours = self._list("pods", f"{self._core}/pods", {})
                return Occupancy(holders(ours)).ending(self._ends())
            pods += on_node
        return Occupancy(holders(pods), complete=len(nodes) <= _NODES_ASKED).ending(self._ends())

    def _ends(self) -> dict[str, Any]:
        jobs = self._list_or_none("", f"{GROUP_PATH}/finetunejobs", {})
        if jobs is None:
            jobs = self._list("runs", self._cluster.path("FineTuneJob"), {})
        ends = {}
        for job in jobs:
            progress = (job.get("status") or {}).get("progress") or {}
            if (end := moment(progress.get("estimatedCompletionTime"))) is not None:
                ends[f"{job['metadata']['namespace']}/{job['metadata']['name']}"] = end
        return ends

    def _list(self, what: str, path: str, query: dict[str, str], right: str = "") -> list[Object]:
        return self._list_or_none(what, path, query, right or f"list {path.rpartition('/')[2]}") or []

    def _list_or_none(self, what: str, path: str, query: dict[str, str], right: str = "") -> list[Object] | None:
        try:
            items: list[Object] = self._cluster.request("GET", path, query=query).get("items") or []
            return items
        except ApiError as error:
            self._note(what, right, error)
            return None

    def _note(self, what: str, right: str, error: ApiError) -> None:
        """Note what a missing right hides; what is not there at all hides nothing. Other errors are errors."""
        if error.status not in (403, 404):
            raise error
        if error.status == 403 and what:
            self.unread.append(f"{what} (missing right: {right})")


def event_time(event: Object) -> str:
    """Return when an event was seen last."""
    told = event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp")
    return str(told or event["metadata"].get("creationTimestamp") or "")


def _age(obj: Object) -> tuple[str, str]:
    return str(obj["metadata"].get("creationTimestamp") or ""), str(obj["metadata"]["name"])


def _owners(obj: Object) -> list[Object]:
    return list(obj["metadata"].get("ownerReferences") or [])
