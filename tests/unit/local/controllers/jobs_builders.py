"""Jobs and pods, and a cluster of two dictionaries that does what `decide` says, step by step."""

import copy
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from kubetune_local import timestamps
from kubetune_local.controllers.jobs.backoff import Record, remembered
from kubetune_local.controllers.jobs.decide import Decision, decide
from kubetune_local.controllers.jobs.view import FAILURES, FINALIZER, IGNORED, INDEX

JSON = dict[str, Any]
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
AGO = timestamps.rfc3339(NOW - timedelta(hours=1))
DISRUPTED = {"type": "DisruptionTarget", "status": "True"}


def at(seconds: float) -> datetime:
    """Return a time after `NOW`."""
    return NOW + timedelta(seconds=seconds)


def job(status: JSON | None = None, **spec: Any) -> JSON:
    """Return a Job as the API server keeps it, by default of one pod that runs since an hour."""
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "none"}]}}
    full = {"parallelism": 1, "completions": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "template": template}
    meta = {"name": "j", "namespace": "n", "uid": "u", "creationTimestamp": AGO}
    return {"metadata": meta, "spec": full | spec, "status": {"startTime": AGO} if status is None else status}


def indexed(completions: int, status: JSON | None = None, **spec: Any) -> JSON:
    """Return an Indexed Job that runs all its pods at once."""
    return job(status, completionMode="Indexed", completions=completions, **{"parallelism": completions, **spec})


def condition(type_: str, reason: str = "", value: str = "True") -> JSON:
    """Return a condition of a Job."""
    return {"type": type_, "status": value, "reason": reason, "message": ""}


def pod(uid: str, phase: str = "Running", *, index: int | None = None, code: int | None = None, **more: Any) -> JSON:
    """Return a pod of the Job, on a node.

    Args:
        uid: UID, and name.
        phase: Its phase.
        index: Completion index.
        code: Exit code of its container, which then has ended at `NOW`.
        more: `failures` and `ignored` of its index before it, `deleting`, `tracked`, `conditions`, `node`, `ready`.
    """
    annotations = {INDEX: index, FAILURES: more.get("failures"), IGNORED: more.get("ignored")}
    meta: JSON = {"name": uid, "namespace": "n", "uid": uid, "creationTimestamp": AGO}
    meta["annotations"] = {name: str(value) for name, value in annotations.items() if value is not None}
    meta["finalizers"] = [FINALIZER] if more.get("tracked", True) else []
    if more.get("deleting"):
        meta["deletionTimestamp"] = timestamps.rfc3339(NOW)
    conditions = [*more.get("conditions", ()), *([{"type": "Ready", "status": "True"}] if more.get("ready") else ())]
    status: JSON = {"phase": phase, "conditions": conditions}
    if code is not None:
        status["containerStatuses"] = [ended_container(code)]
    return {"metadata": meta, "spec": {"nodeName": more.get("node", "local")}, "status": status}


def ended_container(code: int, moment: datetime = NOW) -> JSON:
    """Return the status of a container that has ended."""
    return {"name": "c", "state": {"terminated": {"exitCode": code, "finishedAt": timestamps.rfc3339(moment)}}}


def failed(uid: str, code: int = 1, **more: Any) -> JSON:
    """Return a pod that has failed."""
    return pod(uid, "Failed", code=code, **more)


def succeeded(uid: str, **more: Any) -> JSON:
    """Return a pod that has succeeded."""
    return pod(uid, "Succeeded", code=0, **more)


def on_codes(action: str, *codes: int) -> JSON:
    """Return a podFailurePolicy of one rule about exit codes."""
    return {"rules": [{"action": action, "onExitCodes": {"operator": "In", "values": list(codes)}}]}


def on_disruption(action: str) -> JSON:
    """Return a podFailurePolicy of one rule about disrupted pods."""
    return {"rules": [{"action": action, "onPodConditions": [DISRUPTED]}]}


def uids(pods: Iterable[JSON]) -> list[str]:
    """Return the UIDs of pods."""
    return [each["metadata"]["uid"] for each in pods]


def conditions_of(status: JSON) -> list[tuple[str, str]]:
    """Return type and reason of the conditions that are True, in order."""
    true = [entry for entry in status.get("conditions", ()) if entry["status"] == "True"]
    return [(entry["type"], entry["reason"]) for entry in true]


class Stage:
    """A Job and its pods; the test plays the kubelet, and ends a decision half-way as a crash would."""

    def __init__(self, job: JSON) -> None:
        self.job = copy.deepcopy(job)
        self.pods: dict[str, JSON] = {}
        self.now = NOW
        self.made = 0
        self.events: list[str] = []
        self._record: Record | None = None

    @property
    def status(self) -> JSON:
        """The status of the Job."""
        status: JSON = self.job["status"]
        return status

    def look(self) -> Decision:
        """Ask once, without doing anything."""
        pods = [copy.deepcopy(each) for each in self.pods.values()]
        return decide(self.job, pods, self.now, self._record or remembered(pods, self.now))

    def step(self, *, releases: int | None = None) -> bool:
        """Look and act once; with `releases`, crash after so many pods have lost their finalizer."""
        decision = self.look()
        for each in decision.discard:
            self._release(each)
            self._delete(each)
        for each in decision.create:
            self._create(each)
        if decision.discard or decision.create:
            return True
        changed = decision.status != self.status
        self.job["status"] = copy.deepcopy(decision.status)
        self.events += [event.reason for event in decision.events] if changed else []
        for each in decision.stop:
            self._delete(each)
        for each in decision.release[:releases]:
            self._release(each)
        self._record = decision.record if releases is None else None
        return changed or bool(decision.stop or decision.release)

    def settle(self) -> None:
        """Act until there is nothing to do."""
        for _ in range(50):
            if not self.step():
                return
        raise AssertionError("the decisions never end")

    def end(self, uid: str, code: int, **more: Any) -> None:
        """Let a pod end."""
        found = self.pods[uid]
        found["status"] = {
            "phase": "Failed" if code else "Succeeded",
            "containerStatuses": [ended_container(code, self.now)],
            **more,
        }
        self._collect(uid)

    def _create(self, made: JSON) -> None:
        self.made += 1
        uid = f"pod-{self.made}"
        created = timestamps.rfc3339(self.now)
        made["metadata"] |= {"uid": uid, "name": uid, "creationTimestamp": created}
        made["spec"]["nodeName"] = "local"
        self.pods[uid] = {**made, "status": {"phase": "Running"}}

    def _delete(self, each: JSON) -> None:
        uid = each["metadata"]["uid"]
        self.pods[uid]["metadata"].setdefault("deletionTimestamp", timestamps.rfc3339(self.now))
        self._collect(uid)

    def _release(self, each: JSON) -> None:
        uid = each["metadata"]["uid"]
        if uid in self.pods:
            self.pods[uid]["metadata"]["finalizers"] = []
            self._collect(uid)

    def _collect(self, uid: str) -> None:
        """A deleted pod goes when its process has ended and nobody holds it."""
        found = self.pods[uid]
        ended = found["status"]["phase"] in ("Succeeded", "Failed")
        if ended and "deletionTimestamp" in found["metadata"] and not found["metadata"]["finalizers"]:
            del self.pods[uid]
