"""Environment of the trainer: nothing is sent home, and what it says is seen at once.

HOME and USER are the image's: a kubelet that runs no images has those of its own machine.
"""

from collections.abc import Mapping, Sequence

from ..plan.pod import OWN_ENV
from .metadata import Manifest


def environment(platform: Mapping[str, str], user: Mapping[str, str]) -> list[Manifest]:
    """Return the variables of the container; those of the settings count more than ours, and the user's set neither."""
    return [{"name": name, "value": value} for name, value in {**user, **OWN_ENV, **platform}.items()]


def secret_sources(secrets: Sequence[str]) -> list[Manifest]:
    """Return the Secrets whose keys the kubelet makes environment variables; the operator never reads them."""
    return [{"secretRef": {"name": name}} for name in secrets]
