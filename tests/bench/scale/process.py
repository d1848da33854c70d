"""The operator as a process whose start, memory and processor time are measured."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from cluster.harness.operator import free_port
from cluster.harness.process import Process, environment

_CALLS = re.compile(
    r'^kubetune_api_requests_total\{code="([^"]*)",kind="([^"]*)",verb="([^"]*)"\} (\S+)$', re.MULTILINE
)


class MeasuredOperator:
    """Runs it with the settings that it has by itself; only the address of its pages and its trainer are told."""

    def __init__(self, kubeconfig: Path, directory: Path) -> None:
        self._kubeconfig = kubeconfig
        self._process = Process("the operator", directory / "operator.log")
        self._port = 0

    async def start(self) -> float:
        """Start it, unless it runs; return the seconds until it said that it is ready."""
        if self._process.running():
            return 0.0
        self._port = free_port()
        environ = environment(
            KUBECONFIG=str(self._kubeconfig),
            KUBETUNE_ALLOW_FILE_URIS="true",
            KUBETUNE_HTTP_BIND=f"127.0.0.1:{self._port}",
        )
        profile = os.environ.get("PROFILE")
        command = [sys.executable, *(["-m", "cProfile", "-o", profile] if profile else []), "-m", "kubetune_operator"]
        began = time.monotonic()
        await asyncio.to_thread(self._process.start, command, environ, self._ready, 120)
        return time.monotonic() - began

    async def leads(self, seconds: float = 60) -> None:
        """Wait until it may write: where nobody has led before, it waits for one who may.

        Raises:
            TimeoutError: it does not lead.
        """
        for _ in range(int(2 * seconds)):
            if "kubetune_leader 1.0" in await asyncio.to_thread(self._page):
                return
            await asyncio.sleep(0.5)
        raise TimeoutError(f"the operator does not lead after {seconds:.0f} s")

    def _page(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=30) as answer:
            text: str = answer.read().decode()
        return text

    async def stop(self) -> None:
        """SIGTERM, and wait until it is gone."""
        await asyncio.to_thread(self._process.terminate)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def rss(self) -> int:
        """Return its resident memory in MiB."""
        return round(psutil.Process(self._process.pid).memory_info().rss / 2**20)

    def cpu_seconds(self) -> float:
        """Return the processor time that it took since its start."""
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def threads(self) -> list[float]:
        """Return the processor time of its threads that took any, the first one first: that is where it reconciles."""
        threads = psutil.Process(self._process.pid).threads()
        return [round(took, 1) for each in threads if (took := each.user_time + each.system_time) > 0.1]

    async def idle(self, seconds: float) -> dict[str, Any]:
        """Return memory and processor time over a while."""
        used, calls, began = self.cpu_seconds(), await asyncio.to_thread(self.requests), time.monotonic()
        await asyncio.sleep(seconds)
        share = (self.cpu_seconds() - used) / (time.monotonic() - began)
        made = await asyncio.to_thread(self.requests_since, calls)
        return {"rssMiB": self.rss(), "cpuPercent": round(100 * share, 2), "idleCalls": made}

    def requests(self) -> Counter[str]:
        """Return how many calls of which kind it has made, by its own metrics."""
        text = self._page()
        found: Counter[str] = Counter()
        for _, kind, verb, value in _CALLS.findall(text):
            found[f"{verb} {kind}"] += int(float(value))
        return found

    def requests_since(self, before: Counter[str]) -> dict[str, int]:
        """Return how many more calls there are by now."""
        return {key: count for key, count in sorted((self.requests() - before).items()) if count}
