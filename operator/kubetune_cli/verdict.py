"""The verdict of an EvalRun: values with intervals, differences with confidence, gates, one sentence. Pure."""

from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .board import condition, is_true
from .figures import interval, number, p_value, signed

Object = dict[str, Any]
MANY = 6
"""More metrics than this are cut to those that gates speak of, and the first of each task."""


def verdict(run: Object, *, everything: bool = False) -> RenderableType:
    """Return what an EvalRun found, for a terminal."""
    status = run.get("status") or {}
    results = status.get("results") or []
    if not results:
        return Text("There are no results yet.", style="dim")
    shown = _metrics(run, results, everything)
    parts: list[RenderableType] = [_values(run, results, shown), Text(""), _differences(results, shown, _alpha(run))]
    hidden = len(_all_metrics(results)) - len(shown)
    if hidden:
        parts.append(Text(f"{hidden} more metrics are in the report (--all shows them here).", style="dim"))
    if status.get("gates"):
        parts += [Text(""), _gates(status["gates"])]
    if status.get("verdict"):
        parts += [Text(""), _sentence(run, status["verdict"])]
    return Group(*parts)


def _alpha(run: Object) -> float:
    return float(((run.get("spec") or {}).get("comparison") or {}).get("alpha") or 0.05)


def _all_metrics(results: list[Object]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((row["task"], row["metric"]) for row in results))


def _metrics(run: Object, results: list[Object], everything: bool) -> list[tuple[str, str]]:
    """Return the (task, metric) pairs worth a row."""
    found = _all_metrics(results)
    if everything or len(found) <= MANY:
        return found
    gated = {tuple(gate["metric"].split("/", 1)) for gate in (run.get("spec") or {}).get("gates") or []}
    firsts = {task: pair for pair in reversed(found) for task in [pair[0]]}
    return [pair for pair in found if pair in gated or pair in firsts.values()]


def _name(row: Object) -> str:
    """Return the metric with its task, once where both are called the same."""
    task, metric = str(row["task"]), str(row["metric"])
    return task if task.lower() == metric.lower() else f"{task} {metric}"


def _label(row: Object) -> Text:
    better = "higher" if row.get("higherIsBetter", True) else "lower"
    return Text.assemble((_name(row), "bold"), (f"\n{better} is better", "dim"))


def _values(run: Object, results: list[Object], shown: list[tuple[str, str]]) -> Table:
    """Metrics down, candidates across, each value with its interval below."""
    names = list(dict.fromkeys(entry["name"] for row in results for entry in row["candidates"]))
    names.sort(key=lambda name: (name == "tuned", name != "base"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right", style="bold cyan" if name == "tuned" else "", min_width=8)
    table.add_column("rows", justify="right", style="dim")
    for pair in shown:
        rows = [row for row in results if (row["task"], row["metric"]) == pair]
        values = {entry["name"]: entry for row in rows for entry in row["candidates"]}
        cells = [_value(values.get(name)) for name in names]
        table.add_row(_label(rows[0]), *cells, str(rows[0]["n"]))
    return table


def _value(entry: Object | None) -> Text:
    if entry is None:
        return Text("–", style="dim")
    return Text.assemble(
        number(entry["value"]), (f"\n{interval(entry.get('interval'), entry['value'])}", "dim not bold")
    )


def _differences(results: list[Object], shown: list[tuple[str, str]], alpha: float) -> Table:
    """One line for each comparison: by how much, how sure."""
    rows = [row for row in results if (row["task"], row["metric"]) in shown and row.get("delta") is not None]
    challengers = {row.get("candidate") for row in rows}
    common = challengers.pop() if len(challengers) == 1 else None
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("difference")
    table.add_column(f"of {common}" if common else "")
    table.add_column("with interval", no_wrap=True)
    table.add_column("")
    before = ""
    for row in rows:
        judgement, style = _judge(row, alpha)
        sure = f" ({p_value(row['pValue'])})" if row.get("pValue") else ""
        table.add_row(
            Text(_name(row) if _name(row) != before else ""),
            Text(f"vs {row.get('versus')}" if common else f"{row.get('candidate')} vs {row.get('versus')}"),
            Text.assemble(signed(row["delta"]), (f" {interval(row.get('interval'), row['delta'])}", "dim")),
            Text.assemble((judgement, style), (sure, "dim")),
        )
        before = _name(row)
    return table


def _judge(row: Object, alpha: float) -> tuple[str, str]:
    """Return what a difference means, with its style: better or worse only when interval and p-value are sure of it."""
    ends = row.get("interval")
    if not ends:
        return "", ""
    low, high = float(ends[0]), float(ends[1])
    if low <= 0 <= high or float(row.get("pValue") or 0) > alpha:
        return "unclear", "yellow"
    better = (low > 0) == bool(row.get("higherIsBetter", True))
    return ("better", "green") if better else ("worse", "red")


def _gates(gates: list[Object]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=False)
    for gate in gates:
        mark, style = {True: ("✔", "green"), False: ("✘", "red")}.get(gate.get("passed"), ("?", "yellow"))  # type: ignore[arg-type]
        table.add_row(
            Text(mark, style=style),
            Text(f"gate {gate['name']}", no_wrap=True),
            Text(gate.get("message", ""), style="dim"),
        )
    return table


def _sentence(run: Object, text: str) -> RenderableType:
    passed = condition(run, "GatesPassed").get("status")
    style = "green" if passed == "True" else "red" if passed == "False" or is_true(run, "Failed") else "yellow"
    return Padding(Text(text, style=f"bold {style}"), (0, 0))
