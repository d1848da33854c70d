"""The closing table, readable in `kubectl logs`."""

from collections.abc import Sequence
from textwrap import wrap

from ..scoring.compare import Difference, MetricComparison
from ..scoring.figures import figure, p_text, signed
from .outcome import Outcome

_WIDTH = 100


def summary_text(outcome: Outcome, names: Sequence[str], report: str) -> str:
    """Return verdict, values of every candidate, differences of the challenger, gates and where the report is."""
    lines = ["", *wrap(f"Verdict: {outcome.verdict}", _WIDTH), ""]
    lines += _table([["task", "metric", *names], *_values(outcome, names)])
    differences = _differences(outcome)
    if differences:
        lines += ["", *_table([["difference", "metric", "by", "95 % interval", "sure", "n"], *differences])]
    if outcome.gates:
        marks = {True: "pass", False: "FAIL", None: "open"}
        lines += ["", "gates"]
        for gate in outcome.gates:
            lines += wrap(
                f"{marks[gate.passed]}  {gate.name}: {gate.message}",
                _WIDTH,
                initial_indent="  ",
                subsequent_indent="        ",
            )
    return "\n".join([*lines, "", f"Report: {report}"])


def _values(outcome: Outcome, names: Sequence[str]) -> list[list[str]]:
    rows = []
    for task in outcome.tasks:
        for comparison in task.comparisons:
            best = _best(comparison)
            cells = [
                figure(comparison.estimates[name].value) + (" *" if name == best and len(names) > 1 else "")
                for name in names
            ]
            arrow = "↑" if comparison.higher_is_better else "↓"
            rows.append([task.task.name, f"{comparison.metric} {arrow}", *cells])
    return rows


def _best(comparison: MetricComparison) -> str:
    return max(comparison.estimates, key=lambda name: comparison.sign() * comparison.estimates[name].value)


def _differences(outcome: Outcome) -> list[list[str]]:
    rows = []
    for task in outcome.tasks:
        comparison = task.comparison(task.main)
        rows += [_difference(comparison, d) for d in comparison.differences if d.candidate == outcome.challenger]
    return rows


def _difference(comparison: MetricComparison, difference: Difference) -> list[str]:
    return [
        f"{difference.candidate} - {difference.versus}",
        f"{comparison.task}/{comparison.metric}",
        signed(difference.delta),
        f"{figure(difference.low)} to {figure(difference.high)}",
        p_text(difference.p_adjusted),
        str(comparison.n),
    ]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    written = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [written[0], "-" * len(written[0]), *written[1:]]
