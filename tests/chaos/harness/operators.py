"""Operators behind fault proxies: started in a moment, killed at any, started again when they should be."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from chaos.harness.nursery import Child, Nursery
from chaos.harness.proxy import FaultProxy
from cluster.harness.operator import Operator, free_port
from cluster.harness.process import environment
from cluster.harness.worlds import World

READY_SECONDS = 60.0


class ProxiedOperator(Operator):
    """One operator whose API server is a fault proxy."""

    def __init__(self, world: World, directory: Path, nursery: Nursery, proxy: FaultProxy, name: str = "a") -> None:
        super().__init__(world, directory)
        self.name = name
        self.proxy = proxy
        self.log = directory / f"operator-{name}.log"
        self.settings: dict[str, str] = {}
        """Variables that it gets at each start."""
        self.starts = 0
        self.wedge: tuple[str, str] | None = None
        """What stops it, and the file that sets it off."""
        self.nursery = nursery
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        """The process, which must have been started."""
        assert self._child is not None, f"operator {self.name} was not started"
        return self._child

    def running(self) -> bool:
        """Tell whether it runs."""
        return self._child is not None and self._child.running()

    def begin(self, **settings: str) -> None:
        """Start it, and do not wait."""
        if self.running():
            return
        self.port = free_port()
        own = {"KUBECONFIG": str(self.proxy.kubeconfig), "KUBETUNE_HTTP_BIND": f"127.0.0.1:{self.port}"}
        environ = environment(**(self._settings() | own | self.settings | settings))
        self._child = self.nursery.bear(environ, self.log, self.wedge)
        self.starts += 1

    def start(self, **settings: str) -> None:
        """Refuse: the proxy answers from the event loop that a blocking start would hold up."""
        raise NotImplementedError("use `await operator.up()`")

    async def up(self, **settings: str) -> None:
        """Start it, and wait until it is ready."""
        self.begin(**settings)
        deadline = time.monotonic() + READY_SECONDS
        while not await asyncio.to_thread(self.ready):
            assert self.running(), f"operator {self.name} ended:\n{self.tail()}"
            assert time.monotonic() < deadline, f"operator {self.name} is not ready:\n{self.tail()}"
            await asyncio.sleep(0.05)

    def alive(self) -> bool:
        """Tell whether its liveness page is content."""
        return self._page("healthz") == 200

    def _page(self, name: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{name}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def strike(self) -> None:
        """SIGKILL it, at once."""
        if self._child is not None:
            self._child.send(signal.SIGKILL)

    async def killed(self) -> None:
        """SIGKILL it, and wait until it is gone."""
        self.strike()
        assert await asyncio.to_thread(self.child.wait, 10), f"operator {self.name} survives SIGKILL"

    async def terminated(self, seconds: float = 20) -> float:
        """SIGTERM it; return the seconds that it took to go."""
        began = time.monotonic()
        self.child.send(signal.SIGTERM)
        gone = await asyncio.to_thread(self.child.wait, seconds)
        if not gone:
            await self.killed()
        assert gone, f"operator {self.name} was still there {seconds:g} s after SIGTERM"
        return time.monotonic() - began

    def tail(self, lines: int = 30) -> str:
        """Return the end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def tracebacks(self) -> int:
        """Return how many tracebacks its log has."""
        return (
            self.log.read_text(errors="replace").count("Traceback (most recent call last)") if self.log.exists() else 0
        )

    @asynccontextmanager
    async def kept_alive(self) -> AsyncIterator[None]:
        """Start it again whenever it is gone, as the kubelet does with its container (but without a back-off)."""
        task = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _keep(self) -> None:
        while True:
            if not self.running():
                self.begin()
            await asyncio.sleep(0.02)
