"""The verdict: one sentence on whether the challenger is better than its rivals, by how much, and how sure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from kubetune_api.run import RunCandidate

from .compare import ENOUGH, Difference, MetricComparison
from .figures import figure, joined, level_text, p_text, signed
from .holm import holm


class Outcome(StrEnum):
    """What is known of the challenger on one metric."""

    BETTER = "better"
    WORSE = "worse"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Finding:
    """The challenger against its strongest rival on one task's main metric."""

    comparison: MetricComparison
    difference: Difference
    outcome: Outcome
    p_value: float
    """p_value, Holm-adjusted over the comparisons that the verdict rests on."""


def choose_challenger(candidates: Sequence[RunCandidate]) -> str | None:
    """Return the candidate that the run is about.

    The one named `tuned`, else the only one with an adapter, else the last that is no baseline; None without any.
    """
    others = [c for c in candidates if not c.baseline]
    adapted = [c.name for c in others if c.adapter]
    if any(c.name == "tuned" for c in others):
        return "tuned"
    return adapted[0] if len(adapted) == 1 else (others[-1].name if others else None)


def findings(comparisons: Sequence[MetricComparison], challenger: str, alpha: float) -> list[Finding]:
    """Return what is known of the challenger on each metric, judged against every rival.

    Better means significantly better than *all* rivals, worse significantly worse than one of them.
    """
    pairs = [(c, d) for c in comparisons for d in c.differences if d.candidate == challenger]
    adjusted = holm([d.p_value for _, d in pairs])
    listed = []
    for comparison in comparisons:
        own = [(d, p) for (c, d), p in zip(pairs, adjusted, strict=True) if c is comparison]
        strongest, p_value = min(own, key=lambda item: comparison.sign() * item[0].delta)
        listed.append(Finding(comparison, strongest, _outcome(comparison, own, alpha), p_value))
    return listed


def _outcome(comparison: MetricComparison, own: Sequence[tuple[Difference, float]], alpha: float) -> Outcome:
    gains = [(comparison.sign() * difference.delta, p_value <= alpha) for difference, p_value in own]
    if all(gain > 0 and sure for gain, sure in gains):
        return Outcome.BETTER
    return Outcome.WORSE if any(gain < 0 and sure for gain, sure in gains) else Outcome.UNCLEAR


def write_verdict(
    comparisons: Sequence[MetricComparison], candidates: Sequence[RunCandidate], challenger: str | None, alpha: float
) -> str:
    """Return the verdict.

    Args:
        comparisons: the main metric of each task.
        candidates: all of the run.
        challenger: the candidate that the run is about, or None when there is only the baseline.
        alpha: family-wise error of the statement (Holm over metrics and rivals).
    """
    if challenger is None:
        values = [f"{c.metric} {figure(e.value)} on {c.task}" for c in comparisons for e in c.estimates.values()]
        return f"Only {candidates[0].name} was evaluated: {joined(values)}; nothing to compare it with."
    small = [c for c in comparisons if not c.enough]
    if small:
        counts = joined([f"{c.clusters} in {c.task}" for c in small])
        return f"Too few independent examples to tell ({counts}; at least {ENOUGH} are needed): {_values(comparisons)}."
    found = findings(comparisons, challenger, alpha)
    ours, theirs = _sides(candidates, challenger)
    facts = {o: joined([_fact(f, alpha) for f in found if f.outcome is o] or [""]) for o in Outcome}
    seen = {f.outcome for f in found}
    if seen == {Outcome.BETTER}:
        return f"{ours} is better than {theirs} here: {facts[Outcome.BETTER]}."
    if seen == {Outcome.WORSE}:
        return f"{ours} is worse than {theirs} here: {facts[Outcome.WORSE]}."
    if seen == {Outcome.UNCLEAR}:
        return f"No difference between {ours[0].lower()}{ours[1:]} and {theirs} is shown: {facts[Outcome.UNCLEAR]}."
    parts = [f"{outcome} in {facts[outcome]}" for outcome in (Outcome.BETTER, Outcome.WORSE) if facts[outcome]]
    parts += [f"no difference shown in {facts[Outcome.UNCLEAR]}"] if facts[Outcome.UNCLEAR] else []
    return f"{ours} against {theirs} is a mixed result: {'; '.join(parts)}."


def _sides(candidates: Sequence[RunCandidate], challenger: str) -> tuple[str, str]:
    """Return what is compared, in words: tuning and prompting where that is the question."""
    own = next(c for c in candidates if c.name == challenger)
    rivals = [c for c in candidates if c.name != challenger]
    tuned = own.adapter is not None or challenger == "tuned"
    prompted = [c for c in rivals if not c.adapter and (c.prompt.examples or c.prompt.system)]
    if tuned and prompted:
        return "Tuning", "prompting"
    if tuned and len(rivals) == 1:
        return "Tuning", "the base model"
    return challenger, joined([c.name for c in rivals])


def _values(comparisons: Sequence[MetricComparison]) -> str:
    return "; ".join(
        f"{c.metric} " + joined([f"{figure(e.value)} ({name})" for name, e in c.estimates.items()]) for c in comparisons
    )


def _fact(finding: Finding, alpha: float) -> str:
    comparison, difference = finding.comparison, finding.difference
    ours = comparison.estimates[difference.candidate].value
    theirs = comparison.estimates[difference.versus].value
    text = (
        f"{comparison.metric} {figure(ours)} against {figure(theirs)} of {difference.versus} "
        f"({signed(difference.delta)}, {level_text(alpha)} interval {figure(difference.low)} to "
        f"{figure(difference.high)}, {p_text(finding.p_value)}, n = {comparison.n}"
    )
    if finding.outcome is Outcome.UNCLEAR and difference.detectable is not None:
        text += f"; only a difference of {figure(difference.detectable)} or more would be found with so few"
    return text + ")"
