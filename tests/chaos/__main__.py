"""Run the scenarios and end with one JSON line: `python -m chaos [--quick] [R2 ...]` (see `make chaos`)."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chaos.bars import BARS, Bar

ROOT = Path(__file__).resolve().parents[2]
BENCH_SECONDS = 3600
Verdict = dict[str, Any]


class Findings:
    """Collects what scenarios say of their bars while pytest runs."""

    def __init__(self) -> None:
        self.passed = 0
        self.problems: list[str] = []
        self.figures: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be read proves nothing."""
        if report.failed:
            self.problems.append(f"{report.nodeid} cannot be collected")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the outcome of one test."""
        if report.when == "call" and report.passed:
            self.passed += 1
        if report.when == "call":
            self.figures += [str(value) for name, value in report.user_properties if name == "figure"]
        if report.skipped:
            self.problems.append(f"{report.nodeid} was skipped")
        if report.failed:
            text = str(report.longrepr)
            last = next((line for line in text.splitlines() if line.startswith("E  ")), text[-200:])
            self.problems.append(f"{report.nodeid.rpartition('::')[2]}: {last.lstrip('E ')[:300]}")

    def verdict(self) -> Verdict:
        """Return whether the bar held, and its figure."""
        if not self.passed and not self.problems:
            return {"held": False, "figure": "no test was found"}
        figure = "; ".join(self.figures) or f"{self.passed} tests passed"
        return {"held": not self.problems, "figure": "; ".join([*self.problems, figure] if self.problems else [figure])}


def prove(bar: Bar, length: str) -> Verdict:
    """Run what proves a bar."""
    if not (ROOT / bar.proof).exists():
        return {"held": False, "figure": f"there is no {bar.proof} yet"}
    findings = Findings()
    arguments = [str(ROOT / bar.proof), "-q", "-s", f"--chaos={length}", "--cluster=control-plane"]
    arguments += ["-k", bar.selects] if bar.selects else []
    pytest.main(arguments, plugins=[findings])
    return findings.verdict()


def bench(wanted: set[str]) -> dict[str, Verdict]:
    """Run the benchmark that proves the bars of scale; its last line is JSON."""
    try:
        done = subprocess.run(
            ["make", "-s", "bench-operator"], cwd=ROOT, capture_output=True, text=True, timeout=BENCH_SECONDS
        )
        figures: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
        return {name: {"held": False, "figure": f"make bench-operator told nothing: {error!r}"} for name in wanted}
    absent = {"held": False, "figure": "make bench-operator does not tell of it"}
    return {name: figures.get(name, absent) for name in wanted}


def main() -> int:
    """Return 0 when every bar that was asked for held."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description="Prove the bars of reliability.")
    parser.add_argument(
        "bars", nargs="*", metavar="BAR", help="bars to prove, such as R2; all of them when none is named"
    )
    parser.add_argument("--quick", action="store_true", help="shortened scenarios, and no benchmarks")
    given = parser.parse_args()
    known = {bar.name: bar for bar in BARS}
    if unknown := [name for name in given.bars if name not in known]:
        parser.error(f"no bar is called {', '.join(unknown)}; there are {', '.join(known)}")
    os.environ.setdefault("FUZZ", "100" if given.quick else "1000")
    chosen = [known[name] for name in given.bars] or list(BARS)
    verdicts: dict[str, Verdict] = {}
    for bar in chosen:
        print(f"\n== {bar.name}: {bar.says}", flush=True)
        if bar.proof.startswith("make "):
            late = {"held": False, "figure": f"not run in the short form: {bar.proof}"}
            verdicts[bar.name] = late if given.quick else {}
        else:
            verdicts[bar.name] = prove(bar, "short" if given.quick else "full")
    if waiting := {name for name, verdict in verdicts.items() if not verdict}:
        verdicts |= bench(waiting)
    print(json.dumps(verdicts, ensure_ascii=False))
    return 0 if all(verdict["held"] for verdict in verdicts.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
