"""`spec.gates` and `spec.comparison`: what must hold, and how it is judged."""

from collections.abc import Collection, Iterator, Sequence

from kubetune_api.evalrun import Comparison, Gate, Metric, Task, TaskType

from .bounds import between
from .plan import Refusal, bad

#: Values that each metric family reports.
VALUES = {
    Metric.EXACT_MATCH: ("exactMatch",),
    Metric.ROUGE: ("rouge1", "rouge2", "rougeL", "rougeLsum"),
    Metric.BLEU: ("bleu",),
    Metric.CHRF: ("chrf",),
    Metric.METEOR: ("meteor",),
    Metric.ACCURACY: ("accuracy",),
    Metric.PRECISION: ("precision",),
    Metric.RECALL: ("recall",),
    Metric.F1: ("f1",),
}
PERPLEXITY_VALUES = ("perplexity", "bitsPerByte", "loss")


def refuse(gates: Sequence[Gate], tasks: Sequence[Task], candidates: Collection[str]) -> Iterator[Refusal]:
    """Refuse gates on tasks or candidates that the run does not have, and margins below zero."""
    names = [task.name for task in tasks]
    for index, gate in enumerate(gates):
        field = f"spec.gates[{index}]"
        task = gate.metric.partition("/")[0]
        if task not in names:
            yield bad(f"{field}.metric", f"there is no task {task!r}; the tasks are {', '.join(names)}")
        for role, name in (("candidate", gate.candidate), ("versus", gate.versus)):
            if name is not None and name not in candidates:
                known = ", ".join(sorted(candidates))
                yield bad(f"{field}.{role}", f"there is no candidate {name!r}; the candidates are {known}")
        yield from between(f"{field}.improvesBy", gate.improves_by, "0", "1e6")
        yield from between(f"{field}.regressesAtMost", gate.regresses_at_most, "0", "1e6")
    duplicates = {gate.name for gate in gates if [other.name for other in gates].count(gate.name) > 1}
    for name in sorted(duplicates):
        yield bad("spec.gates", f"two gates have the name {name!r}; give each its own")


def refuse_comparison(comparison: Comparison) -> Iterator[Refusal]:
    """Refuse an alpha that is no rate of errors."""
    yield from between("spec.comparison.alpha", comparison.alpha, "0", "0.5", open_low=True)


def values_of(task: Task) -> Sequence[str] | None:
    """Return the values a task reports, or None when they are only known at run time."""
    if task.type is TaskType.PERPLEXITY:
        return PERPLEXITY_VALUES
    if task.metrics is None:
        return None
    return [value for metric in task.metrics for value in VALUES[metric]]
