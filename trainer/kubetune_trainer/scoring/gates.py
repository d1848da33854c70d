"""Gates: does the candidate meet what was asked, and how sure is that."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kubetune_api.evalrun import Gate
from kubetune_api.evalstatus import GateResult

from .compare import ENOUGH, MetricComparison
from .figures import figure, level_text, p_text, signed
from .holm import holm


@dataclass(frozen=True)
class Judgement:
    """A gate with the candidates it is about and, for a test, its p-value."""

    gate: Gate
    comparison: MetricComparison
    candidate: str
    versus: str
    p_value: float | None
    """p_value of the test; None for a plain threshold."""


def gate_problem(
    gate: Gate, metrics: Sequence[str], candidates: Sequence[str], challenger: str | None, baseline: str
) -> str | None:
    """Return what is wrong with a gate (unknown metric or candidate, nothing to compare with), or None.

    Args:
        gate: to look at.
        metrics: metric paths of the run, `<task>/<metric>`.
        candidates: names of the run.
        challenger: the candidate that gates mean by default.
        baseline: the candidate that gates compare with by default.
    """
    where = f"gates[{gate.name}]"
    if gate.metric not in metrics:
        near = difflib.get_close_matches(gate.metric, metrics, n=1, cutoff=0)
        return f"{where}.metric: no metric {gate.metric!r} in this run; did you mean {near[0]!r}?"
    for field, name in (("candidate", gate.candidate), ("versus", gate.versus)):
        if name is not None and name not in candidates:
            return f"{where}.{field}: no candidate {name!r}; there are {', '.join(candidates)}"
    candidate = gate.candidate or challenger
    if candidate is None:
        return f"{where}.candidate: say which of {', '.join(candidates)} must pass"
    if (gate.improves_by or gate.regresses_at_most) and candidate == (gate.versus or baseline):
        return f"{where}: candidate and versus are both {candidate!r}"
    return None


def judge_gates(
    gates: Sequence[Gate],
    comparisons: Mapping[str, MetricComparison],
    *,
    challenger: str | None,
    baseline: str,
    alpha: float,
) -> list[GateResult]:
    """Judge all gates; the tests among them share alpha by Holm's procedure.

    improvesBy M passes when "not better by more than M" is rejected; regressesAtMost M is a non-inferiority test: it
    passes when "worse by M or more" is rejected (not when "no difference" is accepted). atLeast and atMost look at the
    value alone.
    """
    judged = [_judge(gate, comparisons[gate.metric], challenger, baseline) for gate in gates]
    tested = [j for j in judged if j.p_value is not None]
    adjusted = iter(holm([j.p_value for j in tested if j.p_value is not None]))
    return [
        _threshold_result(j) if j.p_value is None else _test_result(j, next(adjusted), alpha, len(tested))
        for j in judged
    ]


def _judge(gate: Gate, comparison: MetricComparison, challenger: str | None, baseline: str) -> Judgement:
    candidate, versus = gate.candidate or challenger or baseline, gate.versus or baseline
    margin = _margin(gate)
    p_value = None if margin is None else comparison.gain_p(candidate, versus, margin)
    return Judgement(gate, comparison, candidate, versus, p_value)


def _margin(gate: Gate) -> float | None:
    """Return the gain that must be exceeded, or None for a plain threshold."""
    if gate.improves_by is not None:
        return float(gate.improves_by)
    return None if gate.regresses_at_most is None else -float(gate.regresses_at_most)


def _threshold_result(judged: Judgement) -> GateResult:
    gate, metric = judged.gate, judged.comparison.metric
    estimate = judged.comparison.estimates[judged.candidate]
    if gate.at_least is not None:
        bound, passed, asked = float(gate.at_least), estimate.value >= float(gate.at_least), "at least"
    else:
        bound = float(gate.at_most or "0")
        passed, asked = estimate.value <= bound, "at most"
    unsure = estimate.low <= bound <= estimate.high
    message = (
        f"{judged.candidate} {metric} {figure(estimate.value)} ({figure(estimate.low)} to {figure(estimate.high)}), "
        f"{asked} {figure(bound)} asked"
    )
    message += "; the bound lies inside the interval, so this may be luck" if unsure else ""
    return GateResult(name=gate.name, passed=passed, message=message)


def _test_result(judged: Judgement, p_adjusted: float, alpha: float, tests: int) -> GateResult:
    comparison, gate = judged.comparison, judged.gate
    difference = comparison.compared(judged.candidate, judged.versus, alpha)
    ours, theirs = comparison.estimates[judged.candidate], comparison.estimates[judged.versus]
    wanted = "an improvement" if gate.improves_by is not None else "no regression"
    asked = f"{wanted} of more than {figure(float(gate.improves_by or gate.regresses_at_most or '0'))}"
    facts = (
        f"{judged.candidate} {comparison.metric} {figure(ours.value)}, {judged.versus} {figure(theirs.value)}: "
        f"{signed(difference.delta)} ({level_text(alpha)} interval {figure(difference.low)} to "
        f"{figure(difference.high)}); {asked} asked"
    )
    if not comparison.enough:
        message = f"{facts}; cannot be decided on {comparison.clusters} independent examples, give at least {ENOUGH}"
        return GateResult(name=gate.name, passed=None, message=message)
    family = f" after Holm over {tests} gates" if tests > 1 else ""
    passed = p_adjusted <= alpha
    outcome = "shown" if passed else "not shown"
    return GateResult(name=gate.name, passed=passed, message=f"{facts}; {outcome}, {p_text(p_adjusted)}{family}")
