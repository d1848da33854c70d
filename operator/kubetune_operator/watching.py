"""Kopf as the host of the watches, under a supervisor: whatever ends it, it is started again and read anew."""

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import kopf

from . import signs
from .cluster.client import Client
from .handlers import OURS, Post, Trigger, register
from .settings import Settings
from .signs import Signs
from .telemetry.metrics import Metrics

logger = logging.getLogger(__name__)
logging.getLogger("kopf._core.reactor.running").addFilter(lambda record: "OS signals" not in record.getMessage())

_STABLE_AFTER = 60.0
_FIRST_PAUSE, _LAST_PAUSE = 0.5, 8.0
_BEAT_SECONDS = 1.0
#: Kopf would ask for the name of the user, and a container's has none. Nothing reads it: replicas agree by the Lease.
_IDENTITY = "kubetune"


class _EndlessBackoffs:
    """An endless, jittered back-off: Kopf gives up, and ends the process, where a list of delays ends."""

    def __iter__(self) -> Iterator[float]:
        delay = 0.5
        while True:
            yield delay * random.uniform(0.5, 1.0)
            delay = min(delay * 2, 8.0)


class _NothingRemembered(kopf.DiffBaseStorage):  # type: ignore[misc]
    """Keeps no state in objects, and compares none: by itself Kopf copies each object several times an event."""

    def build(self, **_: Any) -> Any:
        """Return what of an object is compared: nothing."""
        return {}

    def fetch(self, **_: Any) -> None:
        """Return what the object was: it is not known."""

    def store(self, **_: Any) -> None:
        """Keep nothing."""


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
    settings.watching.chunk_size = 500
    # A bookmark comes every minute: a stream that says nothing for longer is dead, whatever TCP thinks of it.
    settings.watching.inactivity_timeout = 75.0
    selector = ",".join(f"{label}={value}" for label, value in OURS.items())
    for children in (("batch", "v1", "jobs"), ("", "v1", "pods")):
        settings.watching.label_selectors[children] = selector
    settings.persistence.diffbase_storage = _NothingRemembered()
    settings.queueing.error_delays = _EndlessBackoffs()
    settings.queueing.idle_timeout = 0.5  # what Kopf keeps of each object until then is the most of its memory
    settings.process.ultimate_exiting_timeout = None
    return settings


class Watcher:
    """Runs Kopf for ever, in a thread and event loop of its own.

    Kopf takes the process's signals, and cancels every task of its loop when it ends; both are kept from ours so.
    """

    def __init__(self, settings: Settings, client: Client, trigger: Trigger, metrics: Metrics) -> None:
        self._settings = settings
        self._client = client
        self._trigger = trigger
        self._metrics = metrics
        self._stop = threading.Event()
        self.signs = Signs()
        self.began_at = time.monotonic()
        self.down_since: float | None = time.monotonic()
        """When the watches stopped; None once they have run for a while: those that end again and again are down."""

    async def run(self) -> None:
        """Watch until cancelled."""
        pause, loop = _FIRST_PAUSE, asyncio.get_running_loop()
        while True:
            started = time.monotonic()
            steady = loop.call_later(_STABLE_AFTER, self._steady)
            error = await self._watch()
            steady.cancel()
            logger.warning("the watches ended: %s", error or "for no reason given", exc_info=error)
            self.down_since = self.down_since or time.monotonic()
            self._metrics.restarted()
            pause = _FIRST_PAUSE if time.monotonic() - started > _STABLE_AFTER else min(pause * 2, _LAST_PAUSE)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))

    def restart(self) -> None:
        """Have Kopf end and start again."""
        self._stop.set()

    def _steady(self) -> None:
        self.down_since = None

    async def _watch(self) -> BaseException | None:
        """Run Kopf once; return what ended it."""
        loop, stop = asyncio.get_running_loop(), threading.Event()
        self._stop = stop
        ended: asyncio.Future[BaseException | None] = loop.create_future()

        def post(call: Callable[[Any], None], argument: Any) -> None:
            with contextlib.suppress(RuntimeError):  # our loop is closed: the process ends
                loop.call_soon_threadsafe(call, argument)

        def settle(outcome: BaseException | None) -> None:
            if not ended.done():
                ended.set_result(outcome)

        def host() -> None:
            error: BaseException | None = None
            try:
                asyncio.run(self._kopf(post, stop))
            except BaseException as caught:  # whatever ends Kopf is told, and Kopf is started again
                error = caught
            post(settle, error)

        self.signs.start()
        self._trigger.begin()
        threading.Thread(target=host, name="watches", daemon=True).start()
        try:
            return await ended
        finally:
            stop.set()

    async def _kopf(self, post: Post, stop: threading.Event) -> None:
        signs.listen(self.signs, lambda event: post(self._trigger.take, event))
        registry = kopf.OperatorRegistry()
        register(registry, self._login)
        beating = asyncio.create_task(self._beat())
        try:
            await kopf.operator(
                registry=registry,
                settings=kopf_settings(),
                identity=_IDENTITY,
                standalone=True,
                clusterwide=not self._settings.namespaces,
                namespaces=self._settings.namespaces,
                stop_flag=stop,
            )
        finally:
            beating.cancel()
            stop.set()  # Kopf waits for it in a thread, and the loop cannot close before that thread has ended

    async def _login(self) -> kopf.AiohttpSession:
        """Return a session of Kopf's own, with the credentials of our client: it asks again when they are refused."""
        host, ssl_context, headers = await self._client.access()
        connector = aiohttp.TCPConnector(limit=0, ssl=ssl_context)
        session = aiohttp.ClientSession(connector=connector, headers=headers, trust_env=True)
        return kopf.AiohttpSession(server=host, aiohttp_session=session)

    async def _beat(self) -> None:
        while True:
            self.signs.beat()
            await asyncio.sleep(_BEAT_SECONDS)
