"""What all tests share: the option that chooses the world of tests/cluster."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--cluster`."""
    parser.addoption(
        "--cluster",
        metavar="embedded|control-plane|CONTEXT",
        help="world of tests/cluster: embedded, control-plane (programs of $KUBEBUILDER_ASSETS) or a context of the "
        "kubeconfig; default: embedded, and control-plane as well where $KUBEBUILDER_ASSETS is set",
    )
