"""`spec.training`: figures that are text in the schema."""

from collections.abc import Iterator

from kubetune_api.training import TrainingSpec

from .bounds import between, positive
from .plan import Refusal


def refuse(training: TrainingSpec) -> Iterator[Refusal]:
    """Refuse figures that cannot train."""
    yield from positive("spec.training.learningRate", training.learning_rate, high="1")
    yield from between("spec.training.schedule.warmupFraction", training.schedule.warmup_fraction, "0", "1")
    yield from between("spec.training.weightDecay", training.weight_decay, "0", "10")
    yield from between("spec.training.maxGradNorm", training.max_grad_norm, "0", "1e6")
    if training.early_stopping is not None:
        yield from between("spec.training.earlyStopping.minDelta", training.early_stopping.min_delta, "0", "1e3")
