"""End to end, in this order: a cluster, images, the chart, a namespace under Pod Security `restricted`, the scenarios.

What a failed scenario leaves behind is written below $E2E_FOLDER/failures. A table ends the run.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from e2e.harness.cluster import Cluster, chosen
from e2e.harness.dump import dump
from e2e.harness.images import Builder, Image
from e2e.harness.release import Release
from e2e.harness.storage import Storage
from e2e.harness.team import Team

FOLDER = Path(os.environ.get("E2E_FOLDER", "~/.cache/kubetune-e2e")).expanduser()
ROWS = pytest.StashKey[list[tuple[str, str, float, str]]]()


@dataclass
class World:
    """Everything that a scenario needs."""

    cluster: Cluster
    builder: Builder
    operator: Image
    release: Release
    team: Team
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Say a figure in the table."""
        self.notes.append(text)


@contextmanager
def step(config: pytest.Config, name: str) -> Iterator[list[str]]:
    """Measure a step of the set-up for the table."""
    began, notes, result = time.monotonic(), [""], "failed"
    try:
        yield notes
        result = "done"
    finally:
        config.stash.setdefault(ROWS, []).append((name, result, time.monotonic() - began, notes[0]))


@pytest.fixture(scope="session")
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A cluster with our operator, and a team."""
    config, folder = request.config, FOLDER / "cluster"
    builder = Builder(FOLDER)
    with step(config, "images") as notes:
        operator, trainer = builder.operator(), builder.trainer()
        notes[0] = f"operator {operator.megabytes:.0f} MB, trainer {trainer.megabytes:.0f} MB"
    with step(config, "cluster"):
        cluster = chosen(folder)
    try:
        with step(config, "load images"):
            cluster.load(operator.archive)
            cluster.load(trainer.archive)
        yield from _installed(config, cluster, builder, operator, trainer)
    finally:
        if os.environ.get("E2E_KEEP") != "1":
            cluster.stop()


def _installed(
    config: pytest.Config, cluster: Cluster, builder: Builder, operator: Image, trainer: Image
) -> Iterator[World]:
    storage = Storage(cluster, trainer)
    try:
        release = Release(cluster, FOLDER, trainer, storage.class_name)
        with step(config, "install the chart") as notes:
            release.install(operator)
            notes[0] = f"{len(release.pods())} replicas"
        with step(config, "namespace, model and data"):
            name = f"team-{secrets.token_hex(3)}"
            team = Team(cluster, name, trainer, storage.class_name, FOLDER / "record")
        yield World(cluster, builder, operator, release, team)
        team.record.stop()
    except BaseException:
        dump(cluster, FOLDER / "failures" / "set-up")
        raise
    finally:
        if os.environ.get("E2E_KEEP") != "1":
            storage.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Keep a row for the table, and write down what a failed scenario leaves behind."""
    report = yield
    world: World | None = getattr(item, "funcargs", {}).get("world")
    if report.when != "call" and not (report.when == "setup" and report.skipped):
        return report
    notes = "; ".join(world.notes) if world else ""
    if report.failed and world:
        dump(world.cluster, folder := FOLDER / "failures" / item.name)
        notes = f"see {folder}"
    elif report.skipped:
        notes = str(call.excinfo.value) if call.excinfo else ""
    item.config.stash.setdefault(ROWS, []).append((item.name, report.outcome, report.duration, notes))
    if world:
        world.notes.clear()
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table."""
    rows = config.stash.get(ROWS, [])
    if not rows:
        return
    width = max(len(row[0]) for row in rows)
    terminalreporter.section("end to end")
    for name, result, seconds, notes in rows:
        terminalreporter.write_line(f"{name:<{width}}  {result:<7} {seconds:6.1f} s  {notes}".rstrip())
    terminalreporter.write_line(f"{'together':<{width}}          {sum(row[2] for row in rows):6.1f} s")
