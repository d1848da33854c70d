"""`spec.tasks`: what every candidate does."""

from collections.abc import Iterator, Sequence

from kubetune_api.evalrun import Metric, Task, TaskType

from ..settings import Settings
from . import dataset as dataset_rule
from . import uris
from .plan import Refusal, bad

_CLASSIFICATION = (Metric.ACCURACY, Metric.PRECISION, Metric.RECALL, Metric.F1)
_GENERATION = (Metric.EXACT_MATCH, Metric.ROUGE, Metric.BLEU, Metric.CHRF, Metric.METEOR)
ALLOWED = {TaskType.CLASSIFICATION: _CLASSIFICATION, TaskType.GENERATION: _GENERATION, TaskType.PERPLEXITY: ()}


def refuse(tasks: Sequence[Task], settings: Settings) -> Iterator[Refusal]:
    """Refuse data that cannot be read, metrics that a task cannot have, and names used twice."""
    for index, task in enumerate(tasks):
        field = f"spec.tasks[{index}]"
        if task.dataset is not None:
            yield from dataset_rule.refuse_source(f"{field}.dataset", task.dataset, settings)
        yield from _refuse_metrics(field, task)
        if [other.name for other in tasks].index(task.name) != index:
            yield bad(f"{field}.name", f"{task.name!r} is the name of another task; give each its own")


def _refuse_metrics(field: str, task: Task) -> Iterator[Refusal]:
    allowed = ALLOWED.get(task.type)
    wrong = [metric for metric in task.metrics or [] if allowed is not None and metric not in allowed]
    if wrong:
        names = ", ".join(wrong)
        choice = f"it takes {', '.join(allowed)}" if allowed else "leave metrics out"
        yield bad(f"{field}.metrics", f"a {task.type} task has no {names}; {choice}")


def claims(tasks: Sequence[Task]) -> Iterator[str]:
    """Yield the claims that the data lies on."""
    for task in tasks:
        if task.dataset is not None and (claim := uris.claim_of(task.dataset.uri)):
            yield claim


def secrets(tasks: Sequence[Task]) -> Iterator[str]:
    """Yield the names of the Secrets that reading the data needs."""
    for task in tasks:
        if task.dataset is not None and task.dataset.credentials_secret is not None:
            yield task.dataset.credentials_secret.name
