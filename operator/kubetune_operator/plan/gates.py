"""`spec.gates` and `spec.comparison`: what must hold, and how it is judged."""

import difflib
from collections.abc import Iterator, Sequence

from kubetune_api.evalrun import Candidate, Comparison, Gate, Metric, Task, TaskType

from .bounds import between
from .plan import Refusal, bad
from .tasks import ALLOWED

#: Values that each metric family reports.
VALUES = {
    Metric.EXACT_MATCH: ("exactMatch",),
    Metric.ROUGE: ("rouge1", "rouge2", "rougeL", "rougeLsum"),
    Metric.BLEU: ("bleu",),
    Metric.CHRF: ("chrf",),
    Metric.ACCURACY: ("accuracy",),
    Metric.PRECISION: ("precision",),
    Metric.RECALL: ("recall",),
    Metric.F1: ("f1",),
}
PERPLEXITY_VALUES = ("perplexity", "bitsPerByte")


def refuse(gates: Sequence[Gate], tasks: Sequence[Task], candidates: Sequence[Candidate]) -> Iterator[Refusal]:
    """Refuse gates on tasks, values or candidates that the run does not have, and margins below zero."""
    for index, gate in enumerate(gates):
        field = f"spec.gates[{index}]"
        yield from _refuse_metric(f"{field}.metric", gate, tasks)
        yield from _refuse_candidates(field, gate, candidates)
        yield from between(f"{field}.improvesBy", gate.improves_by, "0", "1e6")
        yield from between(f"{field}.regressesAtMost", gate.regresses_at_most, "0", "1e6")
    duplicates = {gate.name for gate in gates if [other.name for other in gates].count(gate.name) > 1}
    for name in sorted(duplicates):
        yield bad("spec.gates", f"two gates have the name {name!r}; give each its own")


def _refuse_metric(field: str, gate: Gate, tasks: Sequence[Task]) -> Iterator[Refusal]:
    name, _, value = gate.metric.partition("/")
    task = next((task for task in tasks if task.name == name), None)
    if task is None:
        yield bad(field, f"there is no task {name!r}; the tasks are {', '.join(task.name for task in tasks)}")
    elif (known := values_of(task)) and value not in known:
        near = difflib.get_close_matches(value, known, n=1)
        hint = f"did you mean {name}/{near[0]}?" if near else f"it reports {', '.join(known)}"
        yield bad(field, f"task {name!r} reports no {value!r}; {hint}")


def _refuse_candidates(field: str, gate: Gate, candidates: Sequence[Candidate]) -> Iterator[Refusal]:
    names = [candidate.name for candidate in candidates]
    known = ", ".join(sorted(names))
    unknown = [(role, name) for role, name in (("candidate", gate.candidate), ("versus", gate.versus)) if name]
    unknown = [(role, name) for role, name in unknown if name not in names]
    for role, name in unknown:
        yield bad(f"{field}.{role}", f"there is no candidate {name!r}; the candidates are {known}")
    if unknown:
        return
    challenger = gate.candidate or _challenger(candidates)
    rival = gate.versus or next((candidate.name for candidate in candidates if candidate.baseline), None)
    if challenger is None:
        yield bad(f"{field}.candidate", f"say which of {known} must pass")
    elif (gate.improves_by or gate.regresses_at_most) and challenger == rival:
        yield bad(f"{field}.versus", f"{challenger!r} would be compared with itself; name another candidate")


def _challenger(candidates: Sequence[Candidate]) -> str | None:
    """Return the candidate that a gate means when it names none: the tuned one, or the only one that is no baseline."""
    others = [candidate for candidate in candidates if not candidate.baseline]
    tuned = [candidate for candidate in others if candidate.name == "tuned" or candidate.fine_tune_job]
    for choice in ([candidate for candidate in tuned if candidate.name == "tuned"], others, tuned):
        if len(choice) == 1:
            return choice[0].name
    return None


def refuse_comparison(comparison: Comparison) -> Iterator[Refusal]:
    """Refuse an alpha that is no rate of errors."""
    yield from between("spec.comparison.alpha", comparison.alpha, "0", "0.5", open_low=True)


def values_of(task: Task) -> Sequence[str]:
    """Return the values a task reports: those of its metrics, or of every metric of its type."""
    if task.type is TaskType.PERPLEXITY:
        return PERPLEXITY_VALUES
    return [value for metric in task.metrics or ALLOWED.get(task.type, ()) for value in VALUES.get(metric, ())]
