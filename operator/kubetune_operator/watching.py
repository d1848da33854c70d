"""Kopf as the host of the watches, under a supervisor: whatever ends it, it is started again and read anew."""

import asyncio
import logging
import random
import time
from collections.abc import Iterator

import kopf

from .handlers import Trigger, register
from .settings import Settings
from .telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

_STABLE_AFTER = 60.0
_FIRST_PAUSE, _LAST_PAUSE = 0.5, 8.0


class _EndlessBackoffs:
    """An endless, jittered back-off: Kopf gives up, and ends the process, where a list of delays ends."""

    def __iter__(self) -> Iterator[float]:
        delay = 0.5
        while True:
            yield delay * random.uniform(0.5, 1.0)
            delay = min(delay * 2, 8.0)


def kopf_settings() -> kopf.OperatorSettings:
    """Return settings with which Kopf watches and does nothing else."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = _EndlessBackoffs()
    settings.watching.connect_timeout = 5
    settings.watching.reconnect_backoff = 0.5
    settings.queueing.error_delays = _EndlessBackoffs()
    settings.process.ultimate_exiting_timeout = None
    return settings


class Watcher:
    """Runs Kopf for ever."""

    def __init__(self, settings: Settings, trigger: Trigger, metrics: Metrics) -> None:
        self._settings = settings
        self._trigger = trigger
        self._metrics = metrics
        self.down_since: float | None = time.monotonic()
        """When the watches stopped; None while they run."""

    async def run(self) -> None:
        """Watch until cancelled."""
        pause = _FIRST_PAUSE
        while True:
            started = time.monotonic()
            self.down_since = None
            try:
                await self._watch()
                logger.warning("the watches ended")
            except Exception:  # the supervisor outlives whatever ends Kopf
                logger.exception("the watches broke")
            self.down_since = time.monotonic()
            self._metrics.restarted()
            pause = _FIRST_PAUSE if time.monotonic() - started > _STABLE_AFTER else min(pause * 2, _LAST_PAUSE)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))

    async def _watch(self) -> None:
        registry = kopf.OperatorRegistry()
        register(registry, self._trigger)
        await kopf.operator(
            registry=registry,
            settings=kopf_settings(),
            standalone=True,
            clusterwide=not self._settings.namespaces,
            namespaces=self._settings.namespaces,
            stop_flag=asyncio.Event(),
        )
