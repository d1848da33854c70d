"""Environment of the trainer: nothing is sent home, and everything that is written has a place it may be written to."""

from collections.abc import Mapping, Sequence

from .metadata import Manifest
from .volumes import SCRATCH_PATH

#: The root file system is read-only, and the user has no entry in its passwd: both must be told to libraries.
_ENVIRONMENT = {
    "HOME": SCRATCH_PATH,
    "USER": "kubetune",
    "HF_HOME": f"{SCRATCH_PATH}/huggingface",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "PYTHONUNBUFFERED": "1",
}


def environment(further: Mapping[str, str]) -> list[Manifest]:
    """Return the variables of the container; those of the settings count more."""
    return [{"name": name, "value": value} for name, value in (_ENVIRONMENT | dict(further)).items()]


def secret_sources(secrets: Sequence[str]) -> list[Manifest]:
    """Return the Secrets whose keys the kubelet makes environment variables; the operator never reads them."""
    return [{"secretRef": {"name": name}} for name in secrets]
