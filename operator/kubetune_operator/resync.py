"""A full LIST in pages now and then: finds what the watches missed, deletions among it."""

import asyncio
import contextlib
import logging
import random

from .cluster.client import Client
from .cluster.keys import SUBJECTS, Key, key_of
from .errors import OperatorError
from .handlers import Trigger
from .settings import Settings
from .telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 5.0


class Resync:
    """Lists both kinds at the start and at every interval."""

    def __init__(self, client: Client, settings: Settings, trigger: Trigger, metrics: Metrics) -> None:
        self._client = client
        self._settings = settings
        self._trigger = trigger
        self._metrics = metrics
        self._wanted = asyncio.Event()
        self._look = True  # the watches list at the same time: nothing can have been missed yet
        self.problem: str | None = "the cluster has not been read yet"
        """Why the last LIST failed; None after one that did not."""

    def soon(self, look: bool = False) -> None:
        """List without waiting for the interval; a look at each object will do."""
        self._look = look
        self._wanted.set()

    async def run(self) -> None:
        """List until cancelled; one that fails is tried again soon."""
        while True:
            self._wanted.clear()
            try:
                await self.once()
                self.problem = None
                pause = self._settings.resync_seconds * random.uniform(0.9, 1.0)
            except OperatorError as error:
                self.problem = str(error)
                logger.warning("the cluster cannot be listed: %s", error)
                pause = _RETRY_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), pause)

    async def once(self) -> None:
        """List everything once.

        Raises:
            OperatorError: the API server said no, or nothing.
        """
        found: set[Key] = set()
        known, look, mark = self._metrics.known(), self._look, self._trigger.store.mark()
        for kind in SUBJECTS:
            for namespace in self._settings.namespaces or (None,):
                async for manifest in self._client.pages(kind, namespace):
                    found.add(key_of(manifest))
                    self._trigger.check(manifest, look)
        self._look = False
        for key in known - found:
            self._metrics.forget(key)
            self._trigger.store.lose(key, mark)
