"""A control plane with the chart installed, where $KUBEBUILDER_ASSETS names one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane import ControlPlane, control_plane, is_available

#: Needs etcd and kube-apiserver; the rest of the chart's tests does not.
collect_ignore = [] if is_available() else ["test_admission.py", "test_installed.py"]


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A bare control plane."""
    with control_plane(Path(tmp_path_factory.mktemp("plane"))) as running:
        yield running
