"""Learning rate over the run: linear warm-up, then cosine or linear decay to zero, or constant."""

from __future__ import annotations

import math

from kubetune_api.training import Schedule, ScheduleType


def warmup_steps(schedule: Schedule, total: int) -> int:
    """Return the warm-up in steps, rounded up."""
    return math.ceil(float(schedule.warmup_fraction) * total)


def factor(schedule: Schedule, step: int, total: int) -> float:
    """Return the share of the peak learning rate for `step`, counted from 0; the first step is not wasted on zero.

    As transformers' schedules, shifted by one step: the warm-up reaches the peak at its last step.
    """
    warmup = warmup_steps(schedule, total)
    if step < warmup:
        return (step + 1) / warmup
    if schedule.type is ScheduleType.CONSTANT:
        return 1.0
    done = (step - warmup) / max(1, total - warmup)
    if schedule.type is ScheduleType.LINEAR:
        return max(0.0, 1.0 - done)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
