"""Attempts: every try at a stage, what became of it, and how long the accelerators were held."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kubetune_api import names
from kubetune_api.conditions import Attempt
from kubetune_api.exits import Exit, reason_of
from kubetune_api.run import Stage
from kubetune_api.scrub import scrub

from ..plan.launch import KILLED, TERMINATED
from ..plan.owner import uid_of
from .failure import failure_reason, last_line
from .fault import DELETED, DISRUPTIONS, LOST, NODE_LOST, REQUEUED, SUSPENDED, UNHARMED
from .pods import PodView
from .reports import final_of, progress_of
from .snapshot import JobView, Snapshot
from .stages import current_job, current_stage
from .terminal import condition
from .timestamps import format_time, parse_time
from .tries import Try, nodes_of, tries

KEPT = 10
_MESSAGE_LIMIT = 600


@dataclass(frozen=True)
class Ledger:
    """What the attempts of a run add up to; each is counted in the pass that sees it end, with the status that says so.

    So nothing is counted twice, and nothing is forgotten with the attempts that the list has no room for.
    """

    attempts: Sequence[Attempt]
    """The last ones, oldest first."""
    active_seconds: int
    """Of all attempts that ended."""
    accelerator_seconds: int
    failures: int
    """Of the current stage, that cost a retry."""
    disruptions: int


def ledger(snapshot: Snapshot, now: datetime) -> Ledger:
    """Return the stored attempts brought up to date with the pods."""
    known = list(snapshot.status.attempts or [])
    there = tries(snapshot)
    attempts: list[Attempt] = []
    ended: list[Attempt] = []
    taken: list[Try] = []
    for attempt in known:
        own = next((each for each in there if _is_of(attempt, each, snapshot)), None)
        taken += [own] if own else []
        attempts.append(attempt if attempt.ended else _updated(attempt, own, snapshot, now))
        ended += [attempts[-1]] if attempts[-1].ended and not attempt.ended else []
    number = known[-1].number if known else 0
    for each in there:
        if each in taken or _forgotten(each, known) or not _counts_as_try(each):
            continue
        number += 1
        attempts.append(_updated(_begun(number, each), each, snapshot, now))
        ended += [attempts[-1]] if attempts[-1].ended else []
    return _sum(snapshot, attempts, ended)


def _sum(snapshot: Snapshot, attempts: list[Attempt], ended: list[Attempt]) -> Ledger:
    status, stage = snapshot.status, current_stage(snapshot)
    free = [each for each in ended if not costs_a_retry(each) and each.exit_code != 0]
    asked_for = _asked_to_stop(snapshot)
    return Ledger(
        attempts[-KEPT:],
        (status.active_seconds or 0) + sum(_seconds(each) for each in ended),
        (status.accelerator_seconds or 0) + sum(held(snapshot, each.stage) * _seconds(each) for each in ended),
        (status.failures or 0) + sum(each.stage == stage and costs_a_retry(each) for each in ended),
        (status.disruptions or 0) + (0 if asked_for else len(free)),
    )


def held(snapshot: Snapshot, stage: str) -> int:
    """Return how many accelerators a stage holds."""
    if stage == Stage.PREPARE:
        return 0
    return snapshot.subject.spec.resources.accelerator.count * nodes_of(snapshot, stage)


def open_seconds(attempts: Sequence[Attempt], now: datetime) -> float:
    """Return how long the attempts that still run have run."""
    spans = [now - parse_time(attempt.started) for attempt in attempts if attempt.started and not attempt.ended]
    return sum(max(span.total_seconds(), 0) for span in spans)


def costs_a_retry(attempt: Attempt) -> bool:
    """Return whether an attempt ended in a way that counts against the retries."""
    return attempt.ended is not None and attempt.exit_code not in UNHARMED and attempt.reason not in DISRUPTIONS


def _asked_to_stop(snapshot: Snapshot) -> bool:
    """A person suspended the run: what ends of it now is no disruption."""
    running = condition(snapshot.status.conditions, "Running")
    return snapshot.subject.spec.suspend or (running is not None and running.reason == SUSPENDED)


def _is_of(attempt: Attempt, each: Try, snapshot: Snapshot) -> bool:
    """Tell the try of an attempt: by its pod, or as the one of its Job that was there when it ended."""
    if attempt.pod in {pod.name for pod in each.pods}:
        return True
    first = each.pods[0]
    if nodes_of(snapshot, first.stage) == 1 or not (attempt.pod or "").startswith(f"{_job_name(first, snapshot)}-"):
        return False
    return attempt.ended is None or first.created <= parse_time(attempt.ended)


def _counts_as_try(each: Try) -> bool:
    """A pod that a node turned away never started, and yet failed; one that waits is no attempt yet."""
    return each.started is not None or (each.over and each.lead.phase == "Failed")


def _forgotten(each: Try, known: Sequence[Attempt]) -> bool:
    """A try older than the oldest attempt of a full list was counted, and dropped from it."""
    first = (known[0].started or known[0].ended) if len(known) == KEPT else None
    return first is not None and (each.started or each.pods[0].created) < parse_time(first)


def _begun(number: int, each: Try) -> Attempt:
    pod, started = each.lead, each.started
    return Attempt(
        number=number,
        stage=pod.stage,
        pod=pod.name,
        started=format_time(started) if started else None,
        node=pod.node,
    )


def _updated(attempt: Attempt, each: Try | None, snapshot: Snapshot, now: datetime) -> Attempt:
    if each is None:
        ended = format_time(_last_possible_end(attempt, snapshot, now))
        return attempt.model_copy(update={"ended": ended, **_gone(attempt, snapshot)})
    pod = each.lead
    if not each.over or _is_just_done(each, snapshot):
        return attempt
    if pod.lost:
        message = f"node {pod.node} does not answer; the attempt was given up"
        update: dict[str, object] = {"ended": format_time(now), "reason": NODE_LOST, "message": message}
    else:
        update = _end_of(pod, snapshot) | {"ended": format_time(each.finished or now)}
    return attempt.model_copy(update={**update, "pod": pod.name, "node": pod.node})


def _end_of(pod: PodView, snapshot: Snapshot) -> dict[str, object]:
    final, progress = final_of(snapshot, pod), progress_of(snapshot, pod)
    reason = pod.disrupted or (final.reason if final else None) or failure_reason(pod)
    if pod.exit_code not in (Exit.DONE, Exit.CHECKPOINTED) and (stopped := _stopped(pod, snapshot)) is not None:
        reason = stopped
    message = final.message if final else last_line(pod.message)
    return {
        "exit_code": pod.exit_code,
        "reason": reason[:128],
        "message": scrub(message)[:_MESSAGE_LIMIT] or None,
        "last_step": progress.step if progress else None,
    }


def _is_just_done(each: Try, snapshot: Snapshot) -> bool:
    """A pod that is done is told of together with its Job, moments later, and not by a status of its own."""
    job = current_job(snapshot)
    if job is None or job.finished or job.deleted or _job_name(each.pods[0], snapshot) != job.name:
        return False
    return all(pod.phase == "Succeeded" for pod in each.pods)


def _gone(attempt: Attempt, snapshot: Snapshot) -> dict[str, object]:
    if _is_known_done(attempt, snapshot):
        return {"exit_code": int(Exit.DONE), "reason": reason_of(Exit.DONE), "message": "done; its pod is gone"}
    if snapshot.subject.spec.suspend:
        return {"reason": SUSPENDED, "message": None}
    return {"reason": LOST, "message": "the pod is gone: deleted, or lost with its node"}


def _is_known_done(attempt: Attempt, snapshot: Snapshot) -> bool:
    """A Job is complete by its last pod: that one was done, although nobody saw it before it was deleted."""
    pod = attempt.pod or ""
    own = [job for job in snapshot.jobs.values() if pod.startswith(f"{job.name}-")]
    # The name of a later run begins with that of the first.
    job = max(own, key=lambda each: len(each.name), default=None)
    if job is None or not job.complete:
        return False
    return not any(other.name.startswith(f"{job.name}-") for other in snapshot.pods)


def _last_possible_end(attempt: Attempt, snapshot: Snapshot, now: datetime) -> datetime:
    """Return when a pod that is gone must have ended: a next pod, or the end of its Job, came after it."""
    began = parse_time(attempt.started) if attempt.started else now
    moments = [pod.created for pod in snapshot.pods if pod.created > began and pod.name != attempt.pod]
    jobs = [job for job in snapshot.jobs.values() if (attempt.pod or "").startswith(f"{job.name}-")]
    moments += [job.stopped_at for job in jobs if job.stopped_at is not None and job.stopped_at > began]
    return min([now, *moments])


def _stopped(pod: PodView, snapshot: Snapshot) -> str | None:
    """Return why a pod was deleted that was killed before it was done, and did not fail by itself."""
    if pod.deleted is None:
        return None
    job = snapshot.jobs.get(_job_name(pod, snapshot))
    if job is None or job.deleted:
        return SUSPENDED if snapshot.subject.spec.suspend else LOST
    if pod.exit_code not in (KILLED, TERMINATED, None):
        return None
    return REQUEUED if job.suspended else DELETED


def _job_name(pod: PodView, snapshot: Snapshot) -> str:
    subject = snapshot.subject
    return names.stage_name(subject.metadata.name, uid_of(subject), pod.stage, pod.run)


def attempts_of(job: JobView, attempts: Sequence[Attempt]) -> list[Attempt]:
    """Return the listed attempts of one Job."""
    return [attempt for attempt in attempts if (attempt.pod or "").startswith(f"{job.name}-")]


def _seconds(attempt: Attempt) -> int:
    if not attempt.started or not attempt.ended:
        return 0
    return max(0, round((parse_time(attempt.ended) - parse_time(attempt.started)).total_seconds()))
