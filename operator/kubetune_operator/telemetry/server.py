"""/metrics, /healthz (the queue moves) and /readyz (the cluster was read once)."""

import logging
from collections.abc import Callable

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from ..errors import CannotStart
from .metrics import Metrics

logger = logging.getLogger(__name__)

Check = Callable[[], str | None]
"""Returns what is wrong, or None."""


def application(metrics: Metrics, refresh: Callable[[], None], alive: Check, ready: Check) -> web.Application:
    """Return the pages; `refresh` brings gauges up to date before they are shown."""

    async def show(request: web.Request) -> web.Response:
        refresh()
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def answer(check: Check) -> Callable[[web.Request], object]:
        async def handler(request: web.Request) -> web.Response:
            problem = check()
            return web.Response(text=problem or "ok", status=503 if problem else 200)

        return handler

    app = web.Application()
    app.router.add_get("/metrics", show)
    app.router.add_get("/healthz", answer(alive))  # type: ignore[arg-type]
    app.router.add_get("/readyz", answer(ready))  # type: ignore[arg-type]
    return app


async def serve(app: web.Application, bind: str) -> web.AppRunner:
    """Serve the pages at host:port; port 0 takes a free one, which is logged.

    Raises:
        CannotStart: it is no address, or taken.
    """
    host, _, port = bind.rpartition(":")
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host or None, int(port)).start()
    except (OSError, ValueError, OverflowError) as error:
        await runner.cleanup()
        raise CannotStart(
            f"cannot serve at http_bind {bind!r}: {error}. Set another, or port 0 for a free one"
        ) from error
    logger.info("serving /metrics, /healthz and /readyz at %s", ", ".join(f"{a[0]}:{a[1]}" for a in runner.addresses))
    return runner
