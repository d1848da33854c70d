"""Scenarios, one a bar: `make chaos` runs them in full length, `make test` a quick slice of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chaos.harness.arena import Arena, arena
from chaos.harness.nursery import Nursery
from cluster.harness.process import environment
from cluster.harness.under_test import running
from cluster.harness.worlds import CONTROL_PLANE, EMBEDDED, World, missing_programs, world_named

SLICE, SHORT, FULL = "slice", "short", "full"
Prepare = Callable[..., AbstractAsyncContextManager[Arena]]


def pytest_configure(config: pytest.Config) -> None:
    """Name the marks of scenarios."""
    config.addinivalue_line("markers", "bar(name): the bar that a scenario proves")
    config.addinivalue_line("markers", "quick: part of the slice that runs with all tests")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the quick slice, unless `--chaos` asks for more."""
    if config.getoption("--chaos") != SLICE:
        return
    here = Path(__file__).parent
    left = [item for item in items if here in item.path.parents and item.get_closest_marker("quick") is None]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


@pytest.fixture(scope="session")
def length(request: pytest.FixtureRequest) -> str:
    """How long scenarios last: `slice`, `short` or `full`."""
    return str(request.config.getoption("--chaos"))


@pytest.fixture(scope="session")
def chaos_world(
    request: pytest.FixtureRequest, length: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A running cluster with our definitions: the embedded one for the quick slice, else a real control plane."""
    name = request.config.getoption("--cluster") or (EMBEDDED if length == SLICE else CONTROL_PLANE)
    if name == CONTROL_PLANE and (missing := missing_programs()):
        pytest.fail(f"the scenarios need {', '.join(missing)}: let KUBEBUILDER_ASSETS name a folder with them")
    with running(world_named(name, tmp_path_factory.mktemp(name.replace("/", "-")))) as made:
        yield made


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where operators are born."""
    made = Nursery(environment())
    yield made
    made.close()


@pytest.fixture
def prepare(chaos_world: World, nursery: Nursery, tmp_path: Path) -> Prepare:
    """Prepares an arena: `async with prepare(seed=1) as arena`."""
    return partial(arena, chaos_world, nursery, tmp_path)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes what a scenario has measured, for the summary of `make chaos`."""

    def note(text: str) -> None:
        request.node.user_properties.append(("figure", text))
        print(f"figure: {text}")

    return note


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Iterator[None]:
    """Say in the report which bar a scenario proves."""
    mark = item.get_closest_marker("bar")
    if mark is not None and ("bar", mark.args[0]) not in item.user_properties:
        item.user_properties.append(("bar", mark.args[0]))
    yield
