"""What a run does or waits for, since when, and what to do: from the evidence. Pure."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from kubetune_operator.observe import EventView, Snapshot, job_view
from kubetune_operator.observe.pods import PodView, pod_view
from kubetune_operator.observe.waiting import Wait, why_pending
from kubetune_operator.plan import Refusal, parse, plan
from kubetune_operator.settings import Settings

from .board import condition, finished, is_true
from .evidence import Evidence
from .figures import duration, moment, number
from .remedies import commands

Object = dict[str, Any]
#: Progress is told every 30 s; a run that was silent for so long may hang.
QUIET = timedelta(minutes=15)
_STEP_FIELDS = (("loss", "loss"), ("eval loss", "evalLoss"))


@dataclass
class Explanation:
    """The answer to `what is it doing, and why not more?`."""

    run: Object
    state: str
    """Succeeded, Failed, Suspended, Running, Waiting or Unseen."""
    reason: str
    message: str
    since: datetime | None = None
    wait: Wait | None = None
    hints: list[str] = field(default_factory=list)
    """What else a person should know, a sentence each."""
    todo: list[str] = field(default_factory=list)
    """Commands to copy."""


def explain(evidence: Evidence, now: datetime) -> Explanation:
    """Return the explanation of a run."""
    run = evidence.run
    found = _ended(run) or _evaluating(evidence, now) or _alive(evidence, now)
    stale = (run.get("status") or {}).get("observedGeneration")
    if stale is not None and stale != run["metadata"].get("generation"):
        found.hints.append("the operator has not yet looked at the newest spec")
    last = evidence.pods[-1]["metadata"]["name"] if evidence.pods else ""
    found.todo += commands(run, found.state, found.reason, found.message, last)
    return found


def _ended(run: Object) -> Explanation | None:
    if is_true(run, "Failed"):
        entry = condition(run, "Failed")
        return _from(run, "Failed", entry)
    if is_true(run, "Succeeded"):
        entry = condition(run, "Succeeded")
        found = _from(run, "Succeeded", entry)
        verdict = (run.get("status") or {}).get("verdict")
        if verdict and verdict not in found.message:
            found.hints.append(str(verdict))
        return found
    return None


def _from(run: Object, state: str, entry: Object) -> Explanation:
    since = moment(entry.get("lastTransitionTime"))
    return Explanation(run, state, str(entry.get("reason") or ""), str(entry.get("message") or ""), since)


def _evaluating(evidence: Evidence, now: datetime) -> Explanation | None:
    """A job whose training is over is told by its evaluation."""
    judged, progressing = evidence.evaluation, condition(evidence.run, "Progressing")
    if judged is None or progressing.get("reason") not in ("Evaluating", "EvaluationRunning"):
        return None
    name, progress = judged["metadata"]["name"], (judged.get("status") or {}).get("progress") or {}
    waiting = condition(judged, "Progressing")
    if waiting.get("status") == "False" and not finished(judged):
        found = _from(evidence.run, "Waiting", waiting)
        found.message = f"training is over; its evaluation {name} waits: {found.message}"
        found.hints.append(f"`kubetune explain evr/{name}` says more")
        return found
    task = " on ".join(str(progress[key]) for key in ("candidate", "task") if progress.get(key))
    found = _from(evidence.run, "Running", progressing)
    done = f" at {progress.get('percent', 0)} %{f', {task}' if task else ''}" if progress else " on its way"
    found.message = f"training is over; its evaluation {name} is{done}"
    found.hints += _silence(progress, now)
    return found


def _alive(evidence: Evidence, now: datetime) -> Explanation:
    run = evidence.run
    entry = condition(run, "Progressing")
    accepted = condition(run, "Accepted")
    if not entry:
        message = "no operator has looked at it yet; does KubeTune run in this cluster, and watch this namespace?"
        return Explanation(run, "Unseen", "NotSeen", message, moment(run["metadata"].get("creationTimestamp")))
    if accepted.get("status") == "False":
        return _from(run, "Failed", accepted)
    if (run.get("spec") or {}).get("suspend"):
        return _from(run, "Suspended", entry)
    if is_true(run, "Running"):
        found = _from(run, "Running", condition(run, "Running"))
        found.message, hints = _progress(run, found.message, now)
        found.hints += hints
        return found
    return _waiting(evidence, entry, now)


def _progress(run: Object, message: str, now: datetime) -> tuple[str, list[str]]:
    """Return how far a run is, and what is odd about it."""
    progress = (run.get("status") or {}).get("progress") or {}
    if not progress:
        return message, []
    parts = []
    if progress.get("totalSteps"):
        parts.append(f"step {progress.get('step', 0)} of {progress['totalSteps']} ({progress.get('percent', 0)} %)")
    elif progress.get("percent") is not None:
        task = " on ".join(str(progress[key]) for key in ("candidate", "task") if progress.get(key))
        parts.append(f"{progress['percent']} %{f', {task}' if task else ''}")
    parts += [f"{name} {number(str(progress[key]))}" for name, key in _STEP_FIELDS if progress.get(key)]
    end = moment(progress.get("estimatedCompletionTime"))
    if end is not None and end > now:
        parts.append(f"{duration((end - now).total_seconds())} left (until about {end:%H:%M} UTC)")
    saved = progress.get("lastCheckpointStep")
    parts.append(f"last checkpoint at step {saved}" if saved else "")
    return "; ".join(filter(None, parts)) or message, _silence(progress, now)


def _silence(progress: Object, now: datetime) -> list[str]:
    told = moment(progress.get("updatedAt"))
    if told is None or now - told < QUIET:
        return []
    ago = duration((now - told).total_seconds())
    return [f"it said nothing for {ago}: stalled? A step that never ends is stopped by the trainer; see its log"]


def _waiting(evidence: Evidence, entry: Object, now: datetime) -> Explanation:
    """Ask the operator's own rules, with what was read just now; its condition where they say nothing."""
    found = _from(evidence.run, "Waiting", entry)
    pods = [pod_view(pod) for pod in evidence.pods]
    waits = [pod for pod in pods if not pod.ended and not pod.running]
    pod = next((each for each in waits if each.unschedulable is not None), waits[-1] if waits else None)
    queued = [job for job in evidence.jobs if (job.get("spec") or {}).get("suspend")]
    if queued and not waits:
        found.hints += _kueue(evidence)
        found.since = moment(queued[-1]["metadata"].get("creationTimestamp")) or found.since
        return found
    wait = _why(evidence, pod) if waits or (evidence.jobs and not pods) else None
    if wait is not None:
        found.wait, found.reason, found.message = wait, wait.reason, wait.message
        found.since = _began(pod) or found.since
        if wait.hopeless:
            found.hints.append("waiting does not help: something has to be changed")
        if wait.ends is not None and wait.ends > now:
            left = duration((wait.ends - now).total_seconds())
            found.hints.append(f"the first of them should be free in about {left}, by its own estimate")
    found.hints += [_quota(quota) for quota in evidence.quotas]
    return found


def _why(evidence: Evidence, pod: PodView | None) -> Wait | None:
    subject = parse(evidence.run)
    if isinstance(subject, Refusal):
        return None
    views = [job_view(job) for job in evidence.jobs]
    snapshot = Snapshot(
        subject,
        plan(subject, Settings(), {}),
        jobs={view.name: view for view in views},
        pods=[pod_view(each) for each in evidence.pods],
        events=[
            EventView(event.get("reason", ""), event.get("message", ""), event["involvedObject"].get("kind", ""))
            for event in evidence.events
        ],
        nodes=evidence.nodes,
        occupancy=evidence.occupancy,
    )
    return why_pending(snapshot, pod, subject.spec.resources)


def _began(pod: PodView | None) -> datetime | None:
    return None if pod is None else pod.scheduled_at or pod.created


def _kueue(evidence: Evidence) -> list[str]:
    """Return what Kueue says of the Workloads."""
    said = []
    for workload in evidence.workloads:
        name = workload["metadata"]["name"]
        for entry in (workload.get("status") or {}).get("conditions") or []:
            if entry.get("message") and entry.get("type") in ("QuotaReserved", "Admitted", "Evicted", "Preempted"):
                said.append(f"Kueue, {entry['type']} is {entry['status']} for workload {name}: {entry['message']}")
    return said


def _quota(quota: Object) -> str:
    status = quota.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    parts = [f"{name} {used.get(name, '0')} of {limit}" for name, limit in sorted(hard.items())]
    return f"quota {quota['metadata']['name']} is used: {', '.join(parts)}"
