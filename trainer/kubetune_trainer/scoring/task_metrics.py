"""Which metrics a task has, and their measures from predictions."""

from collections.abc import Sequence

from kubetune_api.evalrun import Metric, Task, TaskType

from . import classification, translation
from .exact_match import exact_match
from .measure import Measure
from .rouge import NAMES as ROUGE_NAMES
from .rouge import rouge

_VALUES: dict[Metric, tuple[str, ...]] = {
    Metric.EXACT_MATCH: ("exactMatch",),
    Metric.ROUGE: ("rougeL", *(name for name in ROUGE_NAMES if name != "rougeL")),
    Metric.BLEU: ("bleu",),
    Metric.CHRF: ("chrf",),
    Metric.ACCURACY: ("accuracy",),
    Metric.PRECISION: ("precision",),
    Metric.RECALL: ("recall",),
    Metric.F1: ("f1",),
}
_OF_TYPE: dict[TaskType, tuple[Metric, ...]] = {
    TaskType.GENERATION: (Metric.ROUGE, Metric.EXACT_MATCH, Metric.BLEU, Metric.CHRF),
    TaskType.CLASSIFICATION: (Metric.ACCURACY, Metric.F1, Metric.PRECISION, Metric.RECALL),
    TaskType.PERPLEXITY: (),
}
PERPLEXITY_NAMES = ("perplexity", "bitsPerByte")


def task_problem(task: Task) -> str | None:
    """Return what this trainer cannot do of a task, or None."""
    where = f"tasks[{task.name}]"
    if task.type not in _OF_TYPE:
        return f"{where}.type: {task.type} is not supported yet; use {', '.join(_OF_TYPE)}"
    fitting = _OF_TYPE[task.type]
    for metric in task.metrics or ():
        if metric is Metric.METEOR:
            return f"{where}.metrics: Meteor is not supported yet; use Rouge, Bleu or Chrf"
        if metric not in fitting:
            names = ", ".join(fitting) or "no metrics of its own choice: leave them out"
            return f"{where}.metrics: {metric} is not for type {task.type}; it has {names}"
    return None


def metric_names(task: Task) -> list[str]:
    """Return the task's metric names, the main one first: the first family the user listed decides."""
    if task.type is TaskType.PERPLEXITY:
        return list(PERPLEXITY_NAMES)
    families = task.metrics or _OF_TYPE[task.type]
    return list(dict.fromkeys(name for family in families for name in _VALUES[family]))


def text_measures(task: Task, predictions: Sequence[str], references: Sequence[str]) -> list[Measure]:
    """Return the measures of a Generation or Classification task, in the order of `metric_names`."""
    if task.type is TaskType.CLASSIFICATION:
        labels = task_labels(task, references)
        predicted = [classification.parse_label(answer, labels) for answer in predictions]
        actual = [classification.parse_label(answer, labels) for answer in references]
        found = [classification.accuracy(predicted, actual)]
        found += classification.macro_measures(predicted, actual, labels)
    else:
        families = task.metrics or _OF_TYPE[task.type]
        found = []
        if Metric.ROUGE in families:
            found += rouge(predictions, references)
        if Metric.EXACT_MATCH in families:
            found.append(exact_match(predictions, references))
        if Metric.BLEU in families:
            found.append(translation.bleu(predictions, references))
        if Metric.CHRF in families:
            found.append(translation.chrf(predictions, references))
    by_name = {measure.name: measure for measure in found}
    return [by_name[name] for name in metric_names(task)]


def task_labels(task: Task, references: Sequence[str]) -> list[str]:
    """Return the labels of a Classification task: those given, else those of the data."""
    return list(task.labels) if task.labels else sorted({reference.strip() for reference in references})
