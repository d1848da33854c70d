"""Keys: what the queue holds."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from kubetune_api import API_VERSION, names

SUBJECTS = ("FineTuneJob", "EvalRun")
"""Kinds that keys name."""


class Key(NamedTuple):
    """The object to look at."""

    kind: str
    namespace: str
    name: str


def key_of(manifest: Mapping[str, Any]) -> Key:
    """Return the key of a FineTuneJob or EvalRun."""
    metadata = manifest["metadata"]
    return Key(manifest["kind"], metadata["namespace"], metadata["name"])


def owner_key(manifest: Mapping[str, Any]) -> Key | None:
    """Return the key of the object that a child belongs to: its owner, or the one its labels name."""
    metadata = manifest["metadata"]
    for reference in metadata.get("ownerReferences", []):
        if reference.get("apiVersion") == API_VERSION:
            return Key(reference["kind"], metadata["namespace"], reference["name"])
    labels = metadata.get("labels", {})
    kind, name = labels.get(names.LABEL_KIND), labels.get(names.LABEL_NAME)
    return Key(kind, metadata["namespace"], name) if kind and name else None
