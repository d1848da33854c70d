"""The worlds that the suite runs in: one operator, three kinds of cluster."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import yaml

from cluster.harness.process import Process, environment

EMBEDDED, CONTROL_PLANE = "embedded", "control-plane"
ASSETS = "KUBEBUILDER_ASSETS"
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
START_SECONDS = 120.0
#: What the contract calls the variables of a kubelet that cannot mount and has no pod network.
VARIABLES = (
    *("--mounts-variable", "KUBETUNE_MOUNTS", "--hosts-variable", "KUBETUNE_HOSTS"),
    *("--termination-log-variable", "KUBETUNE_TERMINATION_LOG"),
)


def chosen_worlds(option: str | None) -> list[str]:
    """Return the worlds to run in: as told, else the embedded one, and the control plane where there is one."""
    if option is not None:
        return [option]
    return [EMBEDDED, CONTROL_PLANE] if os.environ.get(ASSETS) else [EMBEDDED]


def missing_programs() -> list[str]:
    """Return the programs of a control plane that are not there."""
    return [name for name in PROGRAMS if shutil.which(name, path=os.environ.get(ASSETS)) is None]


def kubectl_path() -> str | None:
    """Return where kubectl is: in $KUBEBUILDER_ASSETS or on the PATH."""
    return shutil.which("kubectl", path=os.environ.get(ASSETS)) or shutil.which("kubectl")


class World:
    """A running cluster, known by its kubeconfig."""

    name: str
    directory: Path
    kubeconfig: Path

    def start(self) -> None:
        """Bring it up."""

    def stop(self) -> None:
        """Take it down."""


class LocalWorld(World):
    """A cluster of this machine, `python -m kubetune_local`; its data stay in its folder from one start to the next."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory / "cluster"
        self.kubeconfig = self.directory / "kubeconfig"
        self.process = Process(f"the {name} cluster", directory / "cluster.log")

    def start(self) -> None:
        """Start the cluster and wait for its kubeconfig."""
        command = [sys.executable, "-m", "kubetune_local", "--directory", str(self.directory), *VARIABLES]
        if self.name == CONTROL_PLANE:
            command.append("--control-plane")
        self.kubeconfig.unlink(missing_ok=True)
        self.process.start(command, environment(), self.kubeconfig.exists, START_SECONDS)

    def stop(self) -> None:
        """Stop it as `kubetune local down` does."""
        self.process.terminate()

    def kill(self) -> None:
        """Kill it as a crash would; its pods run on."""
        self.process.kill()

    @contextmanager
    def frozen_api_server(self) -> Iterator[None]:
        """Freeze the API server: connections stay open and nothing answers."""
        process = psutil.Process(self.process.pid)
        if self.name == CONTROL_PLANE:
            process = next(each for each in process.children() if each.name() == "kube-apiserver")
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def kill_container(self, pod_uid: str, container: str) -> None:
        """SIGKILL the process of a running container, as the kernel does when memory runs out elsewhere."""
        folder = self.directory / "kubelet" / "pods" / pod_uid / "containers" / container
        latest = max(folder.iterdir(), key=lambda each: int(each.name))
        shim = yaml.safe_load((latest / "shim.json").read_text())["pid"]
        (main,) = psutil.Process(shim).children()
        main.kill()


class ForeignWorld(World):
    """A cluster that runs already: a context of the kubeconfig. Its nodes need an image with Python."""

    def __init__(self, context: str, directory: Path) -> None:
        self.name = context
        self.directory = directory
        self.kubeconfig = directory / "kubeconfig"

    def start(self) -> None:
        """Write a kubeconfig of this one context."""
        source = Path(os.environ.get("KUBECONFIG", "").split(os.pathsep)[0] or Path.home() / ".kube" / "config")
        document = yaml.safe_load(source.read_text())
        names = [entry["name"] for entry in document.get("contexts", [])]
        assert self.name in names, f"{source} has no context {self.name!r}; it has {', '.join(names) or 'none'}"
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(yaml.safe_dump({**document, "current-context": self.name}))


def world_named(name: str, directory: Path) -> World:
    """Return the world of a name, not started."""
    return LocalWorld(name, directory) if name in (EMBEDDED, CONTROL_PLANE) else ForeignWorld(name, directory)
