"""Runs the controllers of a cluster, all of them or some; each is started again when it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kubetune_local.client import KubeClient
from kubetune_local.informer import Informers

from .cleanup import FinishedJobs, LostPods
from .garbage import GarbageCollector
from .jobs.controller import JobController
from .jobs.decide import POD_BACK_OFF_SECONDS
from .namespaces import NamespaceController
from .scheduling.scheduler import Scheduler
from .volumes_binder import Binder
from .volumes_provisioner import Provisioner

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
WELL_AFTER_SECONDS = 60.0
"""A controller that ran for so long is well: its next failure begins with the first pause again."""


class Controller(Protocol):
    """One control loop."""

    async def run(self) -> None:
        """Work until cancelled."""


@dataclass(frozen=True)
class Settings:
    """What controllers may be told."""

    volumes_dir: Path
    """Folder below which volumes are directories."""
    back_off_seconds: float = POD_BACK_OFF_SECONDS
    """First pause before a Job replaces a failed pod."""


Maker = Callable[[KubeClient, Informers, Settings], Controller]

CONTROLLERS: dict[str, Maker] = {
    "jobs": lambda client, informers, settings: JobController(client, informers, settings.back_off_seconds),
    "scheduler": lambda client, informers, settings: Scheduler(client, informers),
    "claims": lambda client, informers, settings: Binder(client, informers),
    "volumes": lambda client, informers, settings: Provisioner(client, informers, settings.volumes_dir),
    "garbage": lambda client, informers, settings: GarbageCollector(client, informers),
    "namespaces": lambda client, informers, settings: NamespaceController(client, informers),
    "finished-jobs": lambda client, informers, settings: FinishedJobs(client, informers),
    "lost-pods": lambda client, informers, settings: LostPods(client, informers),
}
ALL = tuple(CONTROLLERS)


async def run(
    client: KubeClient,
    *,
    volumes_dir: Path,
    which: Iterable[str] = ALL,
    back_off_seconds: float = POD_BACK_OFF_SECONDS,
    ready: asyncio.Event | None = None,
) -> None:
    """Run controllers until cancelled.

    Args:
        client: Who they are at the API server.
        volumes_dir: Folder below which volumes are directories.
        which: Names of `CONTROLLERS`.
        back_off_seconds: First pause before a Job replaces a failed pod.
        ready: Set when they have seen everything that is there.
    """
    settings, informers = Settings(volumes_dir, back_off_seconds), Informers(client)
    made = {name: CONTROLLERS[name](client, informers, settings) for name in which}
    informers.start()
    try:
        await informers.wait_synced()
        if ready is not None:
            ready.set()
        async with asyncio.TaskGroup() as group:
            for name, controller in made.items():
                group.create_task(_keep_running(name, controller), name=f"controller-{name}")
    finally:
        await informers.stop()


async def _keep_running(name: str, controller: Controller) -> None:
    loop, pause = asyncio.get_running_loop(), FIRST_PAUSE
    while True:
        begun = loop.time()
        try:
            await controller.run()
        except Exception:
            log.exception("controller %s failed; it is started again in %.1f s", name, pause)
        if loop.time() - begun > WELL_AFTER_SECONDS:
            pause = FIRST_PAUSE
        await asyncio.sleep(pause)
        pause = min(LONGEST_PAUSE, pause * 2)
