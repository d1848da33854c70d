"""What one run of a stage is made with: decided by observe/, shaped by build/."""

from collections.abc import Sequence
from dataclasses import dataclass

from kubetune_api.run import Stage

#: 128 + SIGKILL: out of memory, a grace that was too short, or a person.
KILLED = 137
#: 128 + SIGTERM: stopped before the trainer could say so.
TERMINATED = 143
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"


@dataclass(frozen=True)
class Launch:
    """A Job to make, with what it needs; made again under the same name until it exists."""

    stage: Stage
    run: int
    """Number of the stage's run, from 1; each one after a Job that is over has a name of its own."""
    retries: int
    """Failed attempts that the Job may follow with another by itself."""
    epoch: int = 1
    """Number of the run over all stages: a pod of an earlier one no longer writes to the workspace."""
    micro_batch_divisor: int = 1
    avoided_nodes: Sequence[str] = ()
