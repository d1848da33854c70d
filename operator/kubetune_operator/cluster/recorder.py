"""Kubernetes events: made only after the status is stored, never twice in a while, and never in the way."""

import contextlib
import hashlib
import logging
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from kubetune_api.scrub import scrub

from ..errors import AlreadyExists, ApiUnreachable, OperatorError
from ..observe import Notice
from ..observe.timestamps import format_time
from .client import Client, Document
from .keys import Key

logger = logging.getLogger(__name__)
_REPEAT_AFTER = 600.0
_BURST, _REFILL_SECONDS = 10.0, 30.0
_REMEMBERED = 4096


class Recorder:
    """Makes events, at most one of a kind in ten minutes, and about one in 30 s an object after a burst of ten."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._last: dict[tuple[str, str], float] = {}
        self._budget: dict[str, tuple[float, float]] = {}

    async def record(self, key: Key, manifest: Document, notices: Iterable[Notice]) -> None:
        """Make events about an object; one that cannot be made is only logged."""
        uid = manifest["metadata"]["uid"]
        for notice in notices:
            if not self._may(uid, notice):
                continue
            try:
                await self._create(_event(key, manifest, notice))
            except OperatorError as error:
                logger.warning("event %s about %s was not recorded: %s", notice.reason, key.name, error)

    async def _create(self, event: Document) -> None:
        """Make an event; tried again when there was no answer, for by its name it cannot be made twice."""
        with contextlib.suppress(AlreadyExists):
            try:
                await self._client.create(event)
            except ApiUnreachable:
                await self._client.create(event)

    def _may(self, uid: str, notice: Notice) -> bool:
        now, what = time.monotonic(), (uid, notice.reason)
        if now - self._last.get(what, -_REPEAT_AFTER) < _REPEAT_AFTER:
            return False
        tokens, at = self._budget.get(uid, (_BURST, now))
        tokens = min(_BURST, tokens + (now - at) / _REFILL_SECONDS)
        if tokens < 1:
            return False
        if len(self._last) > _REMEMBERED:
            self._last.clear()
            self._budget.clear()
        self._last[what] = now
        self._budget[uid] = (tokens - 1, now)
        return True


def _digest(metadata: Document, notice: Notice) -> str:
    """Return what is the same for one notice of one version of an object, and for no other."""
    what = (metadata["uid"], metadata["resourceVersion"], notice.type, notice.reason, notice.message)
    return hashlib.sha256("\0".join(what).encode()).hexdigest()[:16]


def _event(key: Key, manifest: Document, notice: Notice) -> dict[str, Any]:
    now, metadata = format_time(datetime.now(UTC)), manifest["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{key.name[:200]}.{_digest(metadata, notice)}", "namespace": key.namespace},
        "involvedObject": {
            "apiVersion": manifest["apiVersion"],
            "kind": key.kind,
            "namespace": key.namespace,
            "name": key.name,
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "type": notice.type,
        "reason": notice.reason,
        "message": scrub(notice.message),
        "source": {"component": "kubetune-operator"},
        "reportingComponent": "kubetune-operator",
        "reportingInstance": "",
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
