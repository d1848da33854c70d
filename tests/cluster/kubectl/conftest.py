"""kubectl against a cluster; without a kubectl these tests are left out, and the header says so."""

from pathlib import Path

import pytest

from cluster.harness.worlds import World, kubectl_path
from cluster.kubectl.transcript import Player

collect_ignore_glob = [] if kubectl_path() else ["test_*.py"]


@pytest.fixture
def player(world: World, tmp_path: Path) -> Player:
    """Runs kubectl in the world."""
    return Player(world.kubeconfig, tmp_path)


@pytest.fixture(scope="session")
def recordings() -> dict[tuple[str, str], str]:
    """What each world has printed in this session: (what, world) -> text."""
    return {}
