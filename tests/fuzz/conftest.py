"""How many objects are looked at: 100 with all tests; 200 or 1,000, through an API server, in `make chaos`; $FUZZ."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from control_plane import ASSETS, ControlPlane, control_plane, is_available

_COUNTS = {"slice": 0, "short": 200, "full": 1000}


def _count(config: pytest.Config) -> int:
    return int(os.environ.get("FUZZ", _COUNTS[config.getoption("--chaos")]))


def pytest_configure(config: pytest.Config) -> None:
    """Name the marks."""
    config.addinivalue_line("markers", "slice_only: part of `make test` alone")
    config.addinivalue_line("markers", "through_server: needs a real API server; not part of `make test`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose between the quick look and the long one."""
    unwanted = "slice_only" if _count(config) else "through_server"
    here = Path(__file__).parent
    left = [item for item in items if here in item.path.parents and item.get_closest_marker(unwanted)]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


@pytest.fixture(scope="session")
def count(request: pytest.FixtureRequest) -> int:
    """How many objects are sent through an API server."""
    return _count(request.config)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A real API server with our definitions."""
    if not is_available():
        pytest.fail(f"{ASSETS} must name a folder with etcd and kube-apiserver")
    with control_plane(tmp_path_factory.mktemp("plane")) as made:
        made.install_definitions()
        yield made


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes what was found, for the summary of `make chaos`."""

    def note(text: str) -> None:
        request.node.user_properties.append(("figure", text))
        print(f"figure: {text}")

    return note
