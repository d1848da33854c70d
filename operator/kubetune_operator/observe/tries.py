"""Pods -> tries: each pod by itself, or all that train together as one, told by the pod that ended it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kubetune_api.exits import PERMANENT
from kubetune_api.finetunejob import FineTuneJob
from kubetune_api.run import Stage

from .fault import UNHARMED
from .pods import PodView
from .snapshot import Snapshot


@dataclass(frozen=True)
class Try:
    """One attempt at a stage."""

    pods: Sequence[PodView]

    @property
    def lead(self) -> PodView:
        """The pod that speaks for all of them: the one that ended the try, or the first."""
        over = [pod for pod in self.pods if pod.lost or (pod.ended and pod.exit_code != 0)]
        return min(over, key=_blame) if over else min(self.pods, key=lambda pod: pod.index)

    @property
    def started(self) -> datetime | None:
        """When the first pod began to run."""
        return min((pod.started for pod in self.pods if pod.started), default=None)

    @property
    def over(self) -> bool:
        """Whether nothing of it runs any more, or will be heard of."""
        return not any(pod.alive for pod in self.pods)

    @property
    def finished(self) -> datetime | None:
        """When the last pod ended."""
        return max((pod.finished for pod in self.pods if pod.finished), default=None)


def nodes_of(snapshot: Snapshot, stage: str | None) -> int:
    """Return how many pods a stage has at the same time."""
    subject = snapshot.subject
    return subject.spec.resources.nodes if isinstance(subject, FineTuneJob) and stage == Stage.TRAIN else 1


def tries(snapshot: Snapshot) -> list[Try]:
    """Return the tries that there are pods of, the oldest first.

    A Job of several pods that a queue stopped and admitted again makes all of them anew: another try begins with a pod
    whose number the one before has already.
    """
    found: list[list[PodView]] = []
    latest: dict[tuple[str, int], list[PodView]] = {}
    for pod in snapshot.pods:
        group, key = latest.get((pod.stage, pod.run)), (pod.stage, pod.run)
        joins = group is not None and all(other.index != pod.index for other in group)
        if nodes_of(snapshot, pod.stage) > 1 and group is not None and joins:
            group.append(pod)
            continue
        latest[key] = [pod]
        found.append(latest[key])
    return [Try(group) for group in found]


def last_try(snapshot: Snapshot, stage: str | None, run: int) -> Try | None:
    """Return the newest try of a run."""
    own = [each for each in tries(snapshot) if (each.pods[0].stage, each.pods[0].run) == (stage, run)]
    return own[-1] if own else None


def _blame(pod: PodView) -> tuple[bool, datetime, bool, int, int]:
    """Order pods by who ended the try: a lost node before all, then by when each was struck; others die of it."""
    moments = [moment for moment in (pod.disrupted_at, pod.stop_asked, pod.finished) if moment is not None]
    clear = 0 if pod.exit_code in PERMANENT else 2 if pod.exit_code in UNHARMED else 1
    return not pod.lost, min(moments, default=pod.created), pod.deleted is not None, clear, pod.index
