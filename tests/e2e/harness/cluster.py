"""The cluster that the scenarios run in: one that a program starts, or a context of the kubeconfig.

E2E_CLUSTER_TOOL  a program: `up DIR` prints the path of a kubeconfig, `load DIR ARCHIVE` imports an image,
                  `down DIR` ends it
E2E_CONTEXT       a context of your kubeconfig instead
E2E_LOAD          how that cluster gets an image: a command, the archive is added. `kind load image-archive`
E2E_NODE_DOWN     a command that stops a node's kubelet, the node is added; without one a file kubelet.pid in the
E2E_NODE_UP       folder of E2E_CLUSTER_TOOL serves, and without that the scenario says that it did not run
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from e2e.harness.shell import T, program, run, until

JSON = dict[str, Any]
#: A node is lost half a minute after its last sign of life, and its pods are evicted 10 s later.
NODE_LOST = {
    "CLUSTER_CONTROLLER_FLAGS": "--node-monitor-grace-period=25s --node-monitor-period=2s",
    "CLUSTER_APISERVER_FLAGS": "--default-unreachable-toleration-seconds=10 --default-not-ready-toleration-seconds=10",
}


class Cluster:
    """A cluster, seen through kubectl."""

    def __init__(self, flags: list[str]) -> None:
        self.flags = flags

    def kubectl(self, *arguments: str, seconds: float = 60, stdin: str | None = None) -> str:
        """Call kubectl; return what it printed."""
        return run(program("kubectl"), *self.flags, *arguments, seconds=seconds, stdin=stdin)

    def get(self, kind: str, name: str, namespace: str) -> JSON | None:
        """Return an object, or None."""
        found = self.kubectl("get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found")
        return json.loads(found) if found else None

    def list(self, kind: str, namespace: str, selector: str = "") -> list[JSON]:
        """Return the objects of a kind."""
        found = self.kubectl("get", kind, "-n", namespace, "-o", "json", "-l", selector)
        items: list[JSON] = json.loads(found)["items"]
        return items

    def apply(self, *objects: JSON) -> None:
        """Apply objects."""
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(each) for each in objects))

    def patch(self, kind: str, name: str, namespace: str, change: JSON) -> None:
        """Merge a change into an object."""
        self.kubectl("patch", kind, name, "-n", namespace, "--type=merge", "-p", json.dumps(change))

    def wait_for(
        self, kind: str, name: str, namespace: str, check: Callable[[JSON], T], what: str, seconds: float
    ) -> T:
        """Return the first true answer of `check` about an object that exists."""
        return until(
            f"{kind} {namespace}/{name}: {what}",
            lambda: (found := self.get(kind, name, namespace)) and check(found),  # type: ignore[arg-type, return-value]
            seconds,
        )

    def load(self, archive: Path) -> None:
        """Import an image."""
        load = os.environ.get("E2E_LOAD")
        assert load, "E2E_LOAD is not set: say how this cluster gets an image, such as `kind load image-archive`"
        run(*shlex.split(load), str(archive), seconds=600)

    def node_down(self, node: str) -> Callable[[], None] | None:
        """Stop the kubelet of a node; return how it comes back, or None where nobody said how."""
        down, up = os.environ.get("E2E_NODE_DOWN"), os.environ.get("E2E_NODE_UP")
        if not (down and up):
            return None
        run(*shlex.split(down), node)
        return lambda: (run(*shlex.split(up), node), None)[1]

    def stop(self) -> None:
        """Leave it as it is: it is not ours."""


class OwnCluster(Cluster):
    """A cluster that $E2E_CLUSTER_TOOL starts for the scenarios and ends after them."""

    def __init__(self, tool: str, folder: Path) -> None:
        self.tool = tool
        self.folder = folder
        kept = folder.with_suffix(".kubeconfig")
        if kept.exists() and folder.exists():
            kubeconfig = kept.read_text()
        else:
            kubeconfig = self._start()
            kept.write_text(kubeconfig)
            folder.with_suffix(".loaded").write_text("")
        super().__init__([f"--kubeconfig={kubeconfig}"])

    def _start(self) -> str:
        environ = {name: os.environ.get(name, value) for name, value in NODE_LOST.items()}
        try:
            printed = run(self.tool, "up", str(self.folder), seconds=300, environ=environ)
        except AssertionError:
            self.stop()
            raise
        return printed.strip().splitlines()[-1]

    def load(self, archive: Path) -> None:
        """Import an image, unless a cluster that was kept has it."""
        loaded = self.folder.with_suffix(".loaded")
        if archive.name not in loaded.read_text().split():
            run(self.tool, "load", str(self.folder), str(archive), seconds=600)
            loaded.write_text(f"{loaded.read_text()}{archive.name}\n")

    def node_down(self, node: str) -> Callable[[], None] | None:
        """Stop the kubelet; return how it comes back."""
        file = self.folder / "kubelet.pid"
        if not file.exists():
            return super().node_down(node)
        pid = int(file.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
        _end(pid)

        def back() -> None:
            with (self.folder / "kubelet.log").open("ab") as log:
                started = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            file.write_text(str(started.pid))

        return back

    def stop(self) -> None:
        """End it."""
        self.folder.with_suffix(".kubeconfig").unlink(missing_ok=True)
        run(self.tool, "down", str(self.folder), seconds=120)


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline, f"process {pid} does not end"
        time.sleep(0.1)


def chosen(folder: Path) -> Cluster:
    """Return the cluster that the environment names.

    Raises:
        AssertionError: it names none.
    """
    if context := os.environ.get("E2E_CONTEXT"):
        return Cluster([f"--context={context}"])
    tool = os.environ.get("E2E_CLUSTER_TOOL")
    assert tool, "say where to run: E2E_CONTEXT=<a context of your kubeconfig>, or E2E_CLUSTER_TOOL=<a program>"
    return OwnCluster(tool, folder)
