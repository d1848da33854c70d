"""A real API server with both kinds installed, where $KUBEBUILDER_ASSETS names one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane import ControlPlane, control_plane, is_available

#: Nothing here runs without etcd and kube-apiserver; the unit tests ask the embedded server about the same table.
collect_ignore_glob = [] if is_available() else ["test_*.py"]


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A bare control plane that serves both kinds."""
    with control_plane(Path(tmp_path_factory.mktemp("plane"))) as running:
        running.install_definitions()
        yield running
