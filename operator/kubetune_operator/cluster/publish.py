"""Status -> the API server: one merge patch, only on change, only onto the version that was read."""

from collections.abc import Mapping
from typing import Any

from kubetune_api.scrub import scrub_document

from ..errors import ApiUnreachable
from ..observe import Status
from .client import Client, Document
from .keys import Key


async def publish(client: Client, key: Key, manifest: Document, status: Status) -> Document | None:
    """Store the status, without credentials; return the new object, or None when nothing changed.

    Raises:
        Conflict: the object changed since it was read.
        NotFound: it is gone.
        OperatorError: the API server said no, or nothing; the caller tries again until it lands.
    """
    wanted = scrub_document(status.dump())
    patch = merge_patch(manifest.get("status") or {}, wanted)
    if not patch:
        return None
    version = {"resourceVersion": manifest["metadata"]["resourceVersion"]}
    try:
        return await client.merge(key.kind, key.namespace, key.name, {"metadata": version, "status": patch}, "status")
    except ApiUnreachable:
        # The answer may have been lost after the write: what landed is told and counted, and not written twice.
        found = await client.get(key.kind, key.namespace, key.name)
        if found["metadata"]["uid"] != manifest["metadata"]["uid"] or merge_patch(found.get("status") or {}, wanted):
            raise
        return found


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the RFC 7396 patch that makes `new` of `old`; what is absent in `new` is removed."""
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        before = old.get(name)
        if before == value:
            continue
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            patch[name] = merge_patch(before, value)
        else:
            patch[name] = value
    return patch
