"""Every example is taken by a real API server, as it stands."""

from pathlib import Path

import pytest

from control_plane import ControlPlane

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.yaml"))


@pytest.mark.parametrize("name", FILES)
def test_kubectl_takes(plane: ControlPlane, name: str) -> None:
    said = plane.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(EXAMPLES / name))
    assert "created (server dry run)" in said
