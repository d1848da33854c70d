"""The owner of everything that a run makes."""

from kubetune_api.kind import KubeObject

from .plan import Owner

#: Owner of children that are rendered without a cluster.
RENDERED_UID = "00000000-0000-0000-0000-000000000000"


def uid_of(subject: KubeObject) -> str:
    """Return the object's UID; zeros when the API server has not seen it yet."""
    return str((subject.metadata.model_extra or {}).get("uid") or RENDERED_UID)


def generation_of(subject: KubeObject) -> int:
    """Return the object's generation."""
    return int((subject.metadata.model_extra or {}).get("generation") or 1)


def owner_of(subject: KubeObject) -> Owner:
    """Return the object as an owner."""
    metadata = subject.metadata
    return Owner(subject.api_version, type(subject).__name__, metadata.namespace, metadata.name, uid_of(subject))
