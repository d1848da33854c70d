"""Ways for an operator to stop moving that nothing from outside can bring about; put into it before it starts."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from typing import Any


def _after(trigger: str) -> bool:
    return os.path.exists(trigger)


def passes(trigger: str) -> None:
    """Every pass, once the file `trigger` exists, waits for ever, and does not mind being cancelled."""
    from kubetune_operator import reconcile

    whole = reconcile.Reconciler.reconcile

    async def stuck(self: Any, key: Any) -> float | None:
        while _after(trigger):
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue
        return await whole(self, key)

    reconcile.Reconciler.reconcile = stuck  # type: ignore[method-assign]


def watches(trigger: str) -> None:
    """The loop of the watches stops turning once the file `trigger` exists."""
    from kubetune_operator import signs

    beat = signs.Signs.beat

    def stuck(self: Any) -> None:
        beat(self)
        while _after(trigger) and threading.current_thread() is not threading.main_thread():
            time.sleep(1)

    signs.Signs.beat = stuck  # type: ignore[method-assign]


def process(trigger: str) -> None:
    """The loop of everything else stops turning once the file `trigger` exists."""
    from kubetune_operator.telemetry import server

    application = server.application

    def watched(*arguments: Any) -> Any:
        async def stop_here(_: Any) -> None:
            asyncio.get_running_loop().call_soon(poll)

        def poll() -> None:
            while _after(trigger):
                time.sleep(1)
            asyncio.get_running_loop().call_later(0.2, poll)

        app = application(*arguments)
        app.on_startup.append(stop_here)
        return app

    from kubetune_operator import runtime

    runtime.application = watched


WEDGES: dict[str, Callable[[str], None]] = {"passes": passes, "watches": watches, "process": process}
