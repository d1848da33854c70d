"""Environment of the trainer: nothing is sent home, and what it says is seen at once.

HOME and USER are the image's: a kubelet that runs no images has those of its own machine.
"""

from collections.abc import Mapping, Sequence

from .metadata import Manifest

_ENVIRONMENT = {"HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"}


def environment(further: Mapping[str, str]) -> list[Manifest]:
    """Return the variables of the container; those of the settings count more."""
    return [{"name": name, "value": value} for name, value in (_ENVIRONMENT | dict(further)).items()]


def secret_sources(secrets: Sequence[str]) -> list[Manifest]:
    """Return the Secrets whose keys the kubelet makes environment variables; the operator never reads them."""
    return [{"secretRef": {"name": name}} for name in secrets]
