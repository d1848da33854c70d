"""From predictions to what they show: comparisons, gates, verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kubetune_api.evalrun import Task, TaskType
from kubetune_api.evalstatus import CandidateResult, GateResult, MetricResult
from kubetune_api.run import EvaluationRun

from ..data.formats import Example
from ..errors import BadDataset
from ..scoring.compare import Difference, MetricComparison, adjust, compare_task
from ..scoring.gates import judge_gates
from ..scoring.measure import Measure
from ..scoring.perplexity import perplexity_measures
from ..scoring.task_metrics import text_measures
from ..scoring.verdict import choose_challenger, write_verdict
from .rows import reference
from .store import Prediction

_MOST_RESULTS = 32


@dataclass(frozen=True)
class TaskOutcome:
    """A task's comparisons, and the rows that they rest on."""

    task: Task
    rows: list[Example]
    predictions: dict[str, list[Prediction]]
    """predictions of `rows` by candidate."""
    comparisons: list[MetricComparison]
    left_out: int
    """left_out: rows too long for some candidate, left out for all of them."""
    main: str
    """main metric: the one that the verdict rests on."""

    def comparison(self, metric: str) -> MetricComparison:
        """Return the comparison of a metric."""
        return next(c for c in self.comparisons if c.metric == metric)


@dataclass(frozen=True)
class Outcome:
    """All that the evaluation shows."""

    tasks: list[TaskOutcome]
    challenger: str | None
    baseline: str
    gates: list[GateResult]
    verdict: str
    results: list[MetricResult]
    """results: the main ones first, as many as a status holds."""


def judge(
    evaluation: EvaluationRun,
    rows: Mapping[str, Sequence[Example]],
    predictions: Mapping[tuple[str, str], Sequence[Prediction]],
    *,
    same_tokenizer: bool,
) -> Outcome:
    """Return what the predictions show.

    Args:
        evaluation: candidates, tasks, gates and how to compare.
        rows: rows of each task.
        predictions: of each (candidate, task), in the order of the rows.
        same_tokenizer: whether perplexities are comparable; bits per byte decide otherwise.

    Raises:
        BadDataset: no row of a task fits all candidates.
    """
    names = [candidate.name for candidate in evaluation.candidates]
    challenger = choose_challenger(evaluation.candidates)
    baseline = next((c.name for c in evaluation.candidates if c.baseline), names[0])
    pairs = _pairs(names, challenger, baseline)
    tasks = []
    for task in evaluation.tasks:
        of_task = {name: predictions[name, task.name] for name in names}
        tasks.append(_task_outcome(task, rows[task.name], of_task, pairs, evaluation, same_tokenizer))
    tasks = _adjusted(tasks)
    alpha = float(evaluation.comparison.alpha)
    by_path = {f"{c.task}/{c.metric}": c for outcome in tasks for c in outcome.comparisons}
    gate_default = gate_challenger(evaluation)
    gates = judge_gates(evaluation.gates, by_path, challenger=gate_default, baseline=baseline, alpha=alpha)
    verdict = write_verdict([t.comparison(t.main) for t in tasks], evaluation.candidates, challenger, alpha)
    return Outcome(tasks, challenger, baseline, gates, verdict, _results(tasks, challenger, baseline))


def gate_challenger(evaluation: EvaluationRun) -> str | None:
    """Return the candidate that a gate means when it names none: the tuned one, or the only one that is no baseline."""
    others = [c.name for c in evaluation.candidates if not c.baseline]
    adapted = [c.name for c in evaluation.candidates if c.adapter]
    unambiguous = "tuned" in others or len(others) == 1 or len(adapted) == 1
    return choose_challenger(evaluation.candidates) if unambiguous else None


def _pairs(names: Sequence[str], challenger: str | None, baseline: str) -> list[tuple[str, str]]:
    """Return the comparisons of the run: the challenger with every rival, every rival with the baseline."""
    if challenger is None:
        return []
    rivals = [name for name in names if name != challenger]
    return [(challenger, name) for name in rivals] + [(name, baseline) for name in rivals if name != baseline]


def _task_outcome(
    task: Task,
    rows: Sequence[Example],
    predictions: Mapping[str, Sequence[Prediction]],
    pairs: Sequence[tuple[str, str]],
    evaluation: EvaluationRun,
    same_tokenizer: bool,
) -> TaskOutcome:
    kept = [i for i in range(len(rows)) if all(listed[i].fits for listed in predictions.values())]
    if not kept:
        raise BadDataset(
            f"tasks[{task.name}]: no row fits the positions of every model together with its prompt and maxNewTokens; "
            "give shorter rows, fewer examples in the prompt or a smaller maxNewTokens",
            reason="RowsTooLong",
        )
    kept_rows = [rows[i] for i in kept]
    kept_predictions = {name: [listed[i] for i in kept] for name, listed in predictions.items()}
    comparisons = compare_task(
        task.name,
        {name: _measures(task, kept_rows, listed) for name, listed in kept_predictions.items()},
        [row.group for row in kept_rows],
        pairs,
        alpha=float(evaluation.comparison.alpha),
        resamples=evaluation.comparison.resamples,
        seed=evaluation.comparison.seed,
    )
    main = comparisons[0].metric
    if task.type is TaskType.PERPLEXITY and not same_tokenizer:
        main = "bitsPerByte"
    return TaskOutcome(task, kept_rows, kept_predictions, comparisons, len(rows) - len(kept), main)


def _measures(task: Task, rows: Sequence[Example], predictions: Sequence[Prediction]) -> list[Measure]:
    references = [reference(row, task) for row in rows]
    if task.type is TaskType.PERPLEXITY:
        nats = [p.nats if p.nats is not None else float("nan") for p in predictions]
        return perplexity_measures(nats, [p.scored_tokens for p in predictions], references)
    return text_measures(task, [p.text or "" for p in predictions], references)


def _adjusted(tasks: Sequence[TaskOutcome]) -> list[TaskOutcome]:
    """Adjust the p-values in two families: the main metrics, which decide, and all others, which only describe."""
    adjusted: dict[tuple[str, str], MetricComparison] = {}
    for decides in (True, False):
        family = [c for task in tasks for c in task.comparisons if (c.metric == task.main) is decides]
        adjusted |= {(c.task, c.metric): c for c in adjust(family)}
    return [replace(task, comparisons=[adjusted[c.task, c.metric] for c in task.comparisons]) for task in tasks]


def _results(tasks: Sequence[TaskOutcome], challenger: str | None, baseline: str) -> list[MetricResult]:
    """Return the status results: main metrics against every rival, then the other metrics against the baseline."""
    first, rest = [], []
    for outcome in tasks:
        for comparison in outcome.comparisons:
            own = [d for d in comparison.differences if d.candidate == challenger]
            against_base = [d for d in own if d.versus == baseline] or own[:1]
            if comparison.metric == outcome.main:
                first += [metric_result(comparison, d) for d in own] or [metric_result(comparison, None)]
            else:
                rest += [metric_result(comparison, d) for d in against_base] or [metric_result(comparison, None)]
    return (first + rest)[:_MOST_RESULTS]


def metric_result(comparison: MetricComparison, difference: Difference | None) -> MetricResult:
    """Return a comparison as the status has it."""
    candidates = [
        CandidateResult(name=name, value=decimal(e.value), interval=[decimal(e.low), decimal(e.high)])
        for name, e in comparison.estimates.items()
    ]
    result = MetricResult(
        task=comparison.task,
        metric=comparison.metric,
        higher_is_better=comparison.higher_is_better,
        candidates=candidates,
        n=comparison.n,
    )
    if difference is None:
        return result
    found = {
        "candidate": difference.candidate,
        "versus": difference.versus,
        "delta": decimal(difference.delta),
        "interval": [decimal(difference.low), decimal(difference.high)],
        "p_value": decimal(difference.p_adjusted),
    }
    return result.model_copy(update=found)


def decimal(value: float) -> str:
    """Return a number as the API writes decimals: text, five significant digits."""
    return f"{value:.5g}"
