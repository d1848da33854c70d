"""Rules of `metadata`, the same for all kinds."""

from typing import Any

from kubetune_local.apiserver.errors import FieldError, forbidden_value, invalid_value, required
from kubetune_local.apiserver.kinds.strategy import IMMUTABLE, Strategy
from kubetune_local.apiserver.names import annotation_errors, label_errors, owner_errors, qualified_name_problems

Obj = dict[str, Any]
_CARRIED = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "generateName")
_FIXED = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def metadata_errors(strategy: Strategy, obj: Obj) -> list[FieldError]:
    """Check names, labels, annotations, owners and finalizers."""
    metadata = obj["metadata"]
    name = metadata.get("name", "")
    if not name:
        errors = [required("metadata.name", "name or generateName is required")]
    else:
        errors = [invalid_value("metadata.name", name, problem) for problem in strategy.name_problems(name)]
    errors += label_errors(metadata.get("labels", {}), "metadata.labels")
    errors += annotation_errors(metadata.get("annotations", {}), "metadata.annotations")
    errors += owner_errors(metadata.get("ownerReferences", []), "metadata.ownerReferences")
    for finalizer in metadata.get("finalizers", ()):
        problems = qualified_name_problems(finalizer)
        errors += [invalid_value("metadata.finalizers", finalizer, problem) for problem in problems]
    return errors


def carry_metadata(obj: Obj, old: Obj) -> list[FieldError]:
    """Complete a changed object with what only the server sets; return what the client tried to change of it."""
    new, before = obj["metadata"], old["metadata"]
    errors = [
        invalid_value(f"metadata.{field}", new[field], IMMUTABLE)
        for field in _FIXED
        if field in new and field in before and new[field] != before[field]
    ]
    for field in _CARRIED:
        if field in before:
            new[field] = before[field]
        else:
            new.pop(field, None)
    if "deletionTimestamp" in before:
        added = [item for item in new.get("finalizers", []) if item not in before.get("finalizers", [])]
        if added:
            listed = "[]string{" + ", ".join(f'"{item}"' for item in added) + "}"
            detail = f"no new finalizers can be added if the object is being deleted, found new finalizers {listed}"
            errors.append(forbidden_value("metadata.finalizers", detail))
    return errors
