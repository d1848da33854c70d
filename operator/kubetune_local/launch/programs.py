"""Programs that live and die with this process."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
STOP_SECONDS = 5.0


class LaunchError(Exception):
    """The cluster cannot be started; the message says why and what to do."""


class Programs:
    """Child processes by name, each with a log of its own."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, command: list[str]) -> None:
        """Start a program; it is killed when this process ends, however it ends."""
        libc, parent = ctypes.CDLL(None), os.getpid()

        def tie() -> None:
            if sys.platform == "linux":
                libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != parent:
                    os._exit(1)

        with self.log(name).open("wb") as log:
            self._running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=tie,
            )

    def log(self, name: str) -> Path:
        """Return the log of a program."""
        return self.logs / f"{name}.log"

    def check(self) -> None:
        """Raise `LaunchError`, with the end of its log, when a program has ended."""
        for name, process in self._running.items():
            if (code := process.poll()) is not None:
                lines = self.log(name).read_text(errors="replace").splitlines()
                tail = "\n".join(f"  | {line}" for line in lines[-8:])
                raise LaunchError(f"{name} ended with code {code}; the whole log is {self.log(name)}\n{tail}")

    async def watch(self) -> None:
        """Return never; raise `LaunchError` as soon as a program has ended."""
        while True:
            self.check()
            await asyncio.sleep(0.5)

    async def stop(self, *names: str) -> None:
        """Stop programs, all of them when none is named: SIGTERM, and SIGKILL after five seconds."""
        chosen = [self._running.pop(name) for name in (names or tuple(self._running)) if name in self._running]
        for process in chosen:
            process.terminate()
        await asyncio.gather(*(_end(process) for process in chosen))


async def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        async with asyncio.timeout(STOP_SECONDS):
            while True:
                if process.poll() is not None:
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        process.kill()
        await asyncio.to_thread(process.wait)


def kept_port(note: Path) -> int:
    """Return the port of the last start when it is still free, so that kubeconfigs stay valid; else another one."""
    with contextlib.suppress(OSError, ValueError), socket.socket() as probe:
        port = int(note.read_text())
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return port
    (port,) = free_ports(1)
    note.write_text(f"{port}\n")
    return port


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback address that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
