"""Name, labels and owner of every child: by them it is found again, told from another's, and goes with its owner."""

from collections.abc import Mapping
from typing import Any

from kubetune_api import names
from kubetune_api.run import Stage

from ..plan.plan import Owner

Manifest = dict[str, Any]


def metadata(
    owner: Owner, name: str, labels: Mapping[str, str], annotations: Mapping[str, str] | None = None
) -> Manifest:
    """Return the metadata of a child."""
    return {
        "name": name,
        "namespace": owner.namespace,
        "labels": dict(labels),
        **({"annotations": dict(annotations)} if annotations else {}),
        "ownerReferences": [_reference(owner)],
    }


def owner_labels(owner: Owner) -> dict[str, str]:
    """Return the labels of everything that an object owns."""
    return {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_KIND: owner.kind,
        names.LABEL_NAME: names.label_value(owner.name),
        names.LABEL_OWNER_UID: owner.uid,
    }


def stage_labels(owner: Owner, stage: Stage, run: int) -> dict[str, str]:
    """Return the labels of what one run of a stage consists of."""
    return owner_labels(owner) | {names.LABEL_STAGE: stage.value, names.LABEL_RUN: str(run)}


def _reference(owner: Owner) -> Manifest:
    return {
        "apiVersion": owner.api_version,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
