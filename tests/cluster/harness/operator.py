"""The operator as a process of its own, that tests may stop, kill, freeze and start again."""

from __future__ import annotations

import shlex
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.harness.process import ROOT, Process, environment
from cluster.harness.worlds import LocalWorld, World

READY_SECONDS = 60.0
STAND_IN = ROOT / "tests" / "cluster" / "stand_in_trainer.py"


class Operator:
    """The operator of a world; it works with the stand-in trainer."""

    def __init__(self, world: World, directory: Path) -> None:
        self._world = world
        self.process = Process("the operator", directory / "operator.log")
        self.port = 0

    def start(self, **settings: str) -> None:
        """Start it; `settings` are variables such as KUBETUNE_WORKERS="1". Nothing happens when it runs."""
        if self.process.running():
            return
        self.port = free_port()
        environ = environment(**(self._settings() | settings))
        self.process.start([sys.executable, "-m", "kubetune_operator"], environ, self.ready, READY_SECONDS)

    def _settings(self) -> dict[str, str]:
        return {
            "KUBECONFIG": str(self._world.kubeconfig),
            "KUBETUNE_ALLOW_FILE_URIS": "true",
            "KUBETUNE_TRAINER_COMMAND": shlex.join(self._trainer()),
            "KUBETUNE_TRAINER_IMAGE": "docker.io/library/python:3.11-slim",
            "KUBETUNE_TERMINATION_GRACE_SECONDS": "10",
            "KUBETUNE_PROGRESS_INTERVAL_SECONDS": "0.5",
            "KUBETUNE_WAITING_INTERVAL_SECONDS": "1",
            "KUBETUNE_LEADER_ELECTION": "false",
            "KUBETUNE_HTTP_BIND": f"127.0.0.1:{self.port}",
        }

    def _trainer(self) -> list[str]:
        """Return the command of the pods: in containers of a real cluster the stand-in comes as the command itself."""
        if isinstance(self._world, LocalWorld):
            return [sys.executable, str(STAND_IN)]
        return ["python", "-c", STAND_IN.read_text()]

    def ready(self) -> bool:
        """Tell whether it says that it is ready."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def metrics(self) -> str:
        """Return its metrics page."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            text: str = answer.read().decode()
        return text

    def figure(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that have these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = [line for line in self.metrics().splitlines() if line.split("{")[0].split(" ")[0] == name]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if all(part in line for part in wanted))

    def writes(self) -> float:
        """Return how many writes it has sent, besides those of the Lease."""
        verbs = ("create", "patch", "delete")
        name = "kubetune_api_requests_total"
        return sum(self.figure(name, verb=verb) - self.figure(name, verb=verb, kind="Lease") for verb in verbs)

    def stop(self) -> None:
        """SIGTERM, and wait until it is gone."""
        self.process.terminate()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    def restart(self, **settings: str) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start(**settings)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze it; events pile up meanwhile."""
        self.process.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send(signal.SIGCONT)


class Replicas:
    """Operators that work together, and agree by a Lease which one writes."""

    def __init__(self, world: World, directory: Path, namespace: str, count: int = 2) -> None:
        self.all: list[Operator] = []
        for number in range(count):
            folder = directory / f"replica-{number}"
            folder.mkdir(parents=True)
            self.all.append(Operator(world, folder))
        self._settings = {
            "KUBETUNE_LEADER_ELECTION": "true",
            "KUBETUNE_LEASE_NAMESPACE": namespace,
            "KUBETUNE_NAMESPACES": namespace,
        }

    def start(self) -> None:
        """Start those that do not run."""
        for number, each in enumerate(self.all):
            each.start(**self._settings, KUBETUNE_REPLICA_NAME=f"replica-{number}")

    def stop(self) -> None:
        """Stop them all."""
        for each in self.all:
            each.stop()

    def leaders(self) -> list[Operator]:
        """Return those that say they lead."""
        return [each for each in self.all if each.process.running() and each.figure("kubetune_leader") == 1]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
