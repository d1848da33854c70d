"""What all tests share: the options that choose the world of tests/cluster and the length of tests/chaos."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--cluster` and `--chaos`."""
    parser.addoption(
        "--cluster",
        metavar="embedded|control-plane|CONTEXT",
        help="world of tests/cluster: embedded, control-plane (programs of $KUBEBUILDER_ASSETS) or a context of the "
        "kubeconfig; default: embedded, and control-plane as well where $KUBEBUILDER_ASSETS is set",
    )
    parser.addoption(
        "--chaos",
        choices=("slice", "short", "full"),
        default="slice",
        help="scenarios of tests/chaos: the quick slice of them (default), or all of them, shortened or in full length",
    )
