"""The report as one JSON document: all results, how they were measured, a bounded number of samples."""

import math
import platform
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Any

from kubetune_api import __version__
from kubetune_api.evalrun import TaskType

from ..evaluation.loading import Candidate
from ..evaluation.outcome import Outcome, TaskOutcome
from ..scoring.compare import ENOUGH, Difference, MetricComparison
from ..scoring.verdict import findings
from .context import ReportContext
from .samples import shortened, task_samples

Document = dict[str, Any]
_LIBRARIES = ("torch", "transformers", "sacrebleu", "numpy", "scipy")
_PROMPT_CHARACTERS = 6000


def report_document(outcome: Outcome, context: ReportContext, now: datetime) -> Document:
    """Return the report; every number in it is finite or null."""
    run, evaluation = context.run_file.run, context.run_file.evaluation
    assert evaluation is not None, "the recipe checks this first"
    comparison = evaluation.comparison
    alpha = float(comparison.alpha)
    return {
        "version": "v1",
        "kubetune": __version__,
        "createdAt": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "run": {"kind": run.kind, "namespace": run.namespace, "name": run.name},
        "verdict": outcome.verdict,
        "tone": tone(outcome, alpha),
        "challenger": outcome.challenger,
        "baseline": outcome.baseline,
        "candidates": [_candidate(candidate) for candidate in context.candidates],
        "tasks": [_task(task, outcome, context, comparison.seed) for task in outcome.tasks],
        "gates": [gate.dump() | {"passed": gate.passed} for gate in outcome.gates],
        "method": {
            "alpha": alpha,
            "resamples": comparison.resamples,
            "seed": comparison.seed,
            "enough": ENOUGH,
            "dtype": context.dtype,
            "device": context.device,
            "cores": context.run_file.compute.cpu,
            "decoding": "greedy",
            "sameTokenizer": len({candidate.tokenizer_digest for candidate in context.candidates}) == 1,
            "image": context.run_file.image,
            "configDigest": context.run_file.config_digest(),
            "libraries": {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES},
        },
    }


def tone(outcome: Outcome, alpha: float) -> str:
    """Return better, worse, unclear or mixed: what the verdict says, in one word."""
    if outcome.challenger is None:
        return "unclear"
    mains = [task.comparison(task.main) for task in outcome.tasks]
    if not all(comparison.enough for comparison in mains):
        return "unclear"
    seen = {finding.outcome.value for finding in findings(mains, outcome.challenger, alpha)}
    return seen.pop() if len(seen) == 1 else "mixed"


def _candidate(candidate: Candidate) -> Document:
    spec = candidate.spec
    examples = spec.prompt.examples
    return {
        "name": candidate.name,
        "baseline": spec.baseline,
        "model": candidate.model.uri,
        "revision": candidate.model.revision,
        "adapter": spec.adapter,
        "identity": candidate.identity,
        "tokenizer": candidate.tokenizer_digest,
        "system": spec.prompt.system,
        "examples": None if examples is None else {"count": examples.count, "source": examples.source.uri},
    }


def _task(task: TaskOutcome, outcome: Outcome, context: ReportContext, seed: int) -> Document:
    dataset = task.task.dataset
    main = task.comparison(task.main)
    generated = task.task.type is not TaskType.PERPLEXITY
    return {
        "name": task.task.name,
        "type": task.task.type.value,
        "dataset": dataset.uri if dataset else None,
        "limit": dataset.limit if dataset else None,
        "rows": main.n,
        "groups": main.clusters,
        "grouped": not main.independent,
        "leftOut": task.left_out,
        "maxNewTokens": task.task.max_new_tokens if generated else None,
        "main": task.main,
        "metrics": [_metric(comparison) for comparison in _main_first(task)],
        "cost": [_cost(task, name, context, generated) for name in task.predictions],
        "prompts": {
            name: shortened(text, _PROMPT_CHARACTERS)
            for (name, of_task), text in context.prompts.items()
            if of_task == task.task.name
        },
        "samples": task_samples(task, outcome.challenger, outcome.baseline, seed),
    }


def _main_first(task: TaskOutcome) -> Sequence[MetricComparison]:
    return sorted(task.comparisons, key=lambda comparison: comparison.metric != task.main)


def _metric(comparison: MetricComparison) -> Document:
    return {
        "name": comparison.metric,
        "higherIsBetter": comparison.higher_is_better,
        "signature": comparison.signature,
        "enough": comparison.enough,
        "values": [
            {"candidate": name, "value": finite(e.value), "low": finite(e.low), "high": finite(e.high)}
            for name, e in comparison.estimates.items()
        ],
        "differences": [_difference(difference) for difference in comparison.differences],
    }


def _difference(difference: Difference) -> Document:
    return {
        "candidate": difference.candidate,
        "versus": difference.versus,
        "delta": finite(difference.delta),
        "low": finite(difference.low),
        "high": finite(difference.high),
        "pValue": finite(difference.p_value),
        "pAdjusted": finite(difference.p_adjusted),
        "detectable": None if difference.detectable is None else finite(difference.detectable),
        "method": difference.method,
    }


def _cost(task: TaskOutcome, name: str, context: ReportContext, generated: bool) -> Document:
    """Return what a candidate takes for a row, and how many of its answers were cut off."""
    rows = task.predictions[name]
    cost: Document = {
        "candidate": name,
        "promptTokens": finite(sum(row.prompt_tokens for row in rows) / len(rows)),
        "seconds": round(context.results[name, task.task.name].seconds, 1),
    }
    if generated:
        cost["answerTokens"] = finite(sum(row.new_tokens for row in rows) / len(rows))
        cost["cutOff"] = sum(row.new_tokens >= task.task.max_new_tokens for row in rows)
    return cost


def finite(value: float) -> float | None:
    """Return the number, or None where JSON has none for it."""
    return float(value) if math.isfinite(value) else None
