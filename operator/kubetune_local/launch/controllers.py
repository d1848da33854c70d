"""Our controllers as a task of this process: all of them, or those that a real control plane leaves to others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path

from kubetune_local.client import KubeClient
from kubetune_local.controllers.run import ALL, run
from kubetune_local.kubeconfig import KubeConfig

from .programs import LaunchError

#: A failed pod is replaced sooner than in a real cluster, where the first pause is 10 s: one machine, nobody to spare.
BACK_OFF_SECONDS = 1.0
READY_SECONDS = 30.0


class ControllerTask:
    """Controllers by name, from start to stop."""

    def __init__(self, volumes: Path, which: Iterable[str] = ALL) -> None:
        self._volumes = volumes
        self._which = tuple(which)
        self._client: KubeClient | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, config: KubeConfig) -> None:
        """Start them; return when they have seen what is there. Raises `LaunchError` when they do not get there."""
        if not self._which:
            return
        ready = asyncio.Event()
        self._client = KubeClient(config, user_agent="controllers")
        work = run(
            self._client,
            volumes_dir=self._volumes,
            which=self._which,
            back_off_seconds=BACK_OFF_SECONDS,
            ready=ready,
        )
        self._task = asyncio.create_task(work, name="controllers")
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({waiting, self._task}, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not ready.is_set():
            raise LaunchError(f"the controllers did not start within {READY_SECONDS:.0f} s")

    async def watch(self) -> None:
        """Return never; raise when the controllers have ended."""
        if self._task is None:
            await asyncio.Event().wait()
            return
        await asyncio.shield(self._task)
        raise LaunchError("the controllers ended")

    async def stop(self) -> None:
        """Stop them."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._client is not None:
            await self._client.close()
