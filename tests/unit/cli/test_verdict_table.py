"""The verdict as people see it."""

from io import StringIO
from typing import Any

from rich.console import Console

from kubetune_cli.verdict import verdict


def row(
    task: str, metric: str, values: dict[str, float], *, candidate: str, versus: str, **over: Any
) -> dict[str, Any]:
    """Return one MetricResult with intervals of +-10 %."""
    delta = values[candidate] - values[versus]
    return {
        "task": task,
        "metric": metric,
        "higherIsBetter": True,
        "candidates": [
            {"name": name, "value": str(value), "interval": [str(value * 0.9), str(value * 1.1)]}
            for name, value in values.items()
        ],
        "candidate": candidate,
        "versus": versus,
        "delta": str(delta),
        "interval": [str(delta - 0.05), str(delta + 0.05)],
        "pValue": "0.0002",
        "n": 60,
    } | over


def run(*results: dict[str, Any], **status: Any) -> dict[str, Any]:
    """Return an EvalRun that has ended."""
    return {"kind": "EvalRun", "spec": {"gates": []}, "status": {"results": list(results), **status}}


def seen(obj: dict[str, Any], width: int = 80, **options: Any) -> str:
    """Return what is printed on a terminal of `width` columns."""
    console = Console(file=StringIO(), width=width, color_system=None)
    console.print(verdict(obj, **options))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


VALUES = {"base": 0.14, "tuned": 0.31, "base-5-shot": 0.2}


def test_shows_each_candidate_with_its_interval_the_tuned_one_last() -> None:
    lines = seen(run(row("docstring", "rougeL", VALUES, candidate="tuned", versus="base"))).splitlines()
    assert lines[0].split() == ["base", "base-5-shot", "tuned", "rows"]
    values = next(line for line in lines if "docstring rougeL" in line)
    assert values.split() == ["docstring", "rougeL", "0.140", "0.200", "0.310", "60"]
    assert "[0.126, 0.154]" in seen(run(row("docstring", "rougeL", VALUES, candidate="tuned", versus="base")))


def test_says_better_only_when_the_interval_excludes_zero() -> None:
    clear = row("docstring", "rougeL", VALUES, candidate="tuned", versus="base")
    unclear = row(
        "docstring", "rougeL", VALUES | {"tuned": 0.22}, candidate="tuned", versus="base-5-shot", pValue="0.4"
    )
    text = seen(run(clear, unclear))
    assert "docstring rougeL  vs base         +0.170 [0.120, 0.220]   better (p < 0.001)" in text
    assert "vs base-5-shot  +0.020 [−0.030, 0.070]  unclear (p = 0.400)" in text


def test_a_difference_that_is_not_sure_after_all_comparisons_is_unclear() -> None:
    near = row("docstring", "rougeL", VALUES, candidate="tuned", versus="base", pValue="0.08")
    assert "unclear (p = 0.080)" in seen(run(near))
    obj = run(near) | {"spec": {"gates": [], "comparison": {"alpha": "0.1"}}}
    assert "better (p = 0.080)" in seen(obj)


def test_lower_is_better_turns_the_judgement() -> None:
    values = {"base": 25.1, "tuned": 9.4}
    text = seen(run(row("perplexity", "perplexity", values, candidate="tuned", versus="base", higherIsBetter=False)))
    assert "lower is better" in text
    assert "−15.7 [−15.8, −15.7]  better" in text


def test_shows_gates_and_the_sentence() -> None:
    gates = [
        {"name": "better", "passed": True, "message": "shown"},
        {"name": "floor", "passed": False, "message": "0.31, at least 0.5 asked"},
        {"name": "small", "message": "cannot be decided"},
    ]
    obj = run(row("a", "b", VALUES, candidate="tuned", versus="base"), gates=gates, verdict="Tuning is better.")
    text = seen(obj)
    assert [line.split()[:3] for line in text.splitlines() if "gate" in line] == [
        ["✔", "gate", "better"],
        ["✘", "gate", "floor"],
        ["?", "gate", "small"],
    ]
    assert text.rstrip().endswith("Tuning is better.")


def test_many_metrics_are_cut_to_the_gated_and_the_first_of_each_task() -> None:
    names = ["rouge1", "rouge2", "rougeL", "rougeLsum", "chrf", "bleu", "exactMatch"]
    obj = run(*[row("docstring", name, VALUES, candidate="tuned", versus="base") for name in names])
    obj["spec"]["gates"] = [{"name": "g", "metric": "docstring/rougeL", "improvesBy": "0"}]
    text = seen(obj)
    assert "docstring rouge1" in text
    assert "docstring rougeL" in text
    assert "chrf" not in text
    assert "5 more metrics" in text
    assert "chrf" in seen(obj, everything=True)


def test_fits_a_terminal_of_80_columns() -> None:
    rows = [row("docstring", "rougeL", VALUES, candidate="tuned", versus=versus) for versus in ("base", "base-5-shot")]
    assert max(map(len, seen(run(*rows)).splitlines())) <= 80


def test_says_so_when_there_are_no_results() -> None:
    assert "no results yet" in seen({"kind": "EvalRun", "status": {}})
