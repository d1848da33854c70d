"""The folder of a local cluster: its kubeconfig, logs, and the processes that belong to it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import CliError

CLUSTER = "cluster"
OPERATOR = "operator"
STOP_SECONDS = 15.0


@dataclass(frozen=True)
class LocalState:
    """Paths below the folder, and its programs by name."""

    directory: Path

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the cluster."""
        return self.directory.resolve() / "kubeconfig"

    def log(self, program: str) -> Path:
        """Return the log of a program."""
        return self.directory.resolve() / "logs" / f"{program}.log"

    def cluster_alive(self) -> bool:
        """Tell whether the cluster of this folder runs."""
        return self.kubeconfig.exists() and self.program(CLUSTER).pid() is not None

    def program(self, name: str) -> "Program":
        """Return a program of the cluster."""
        return Program(name, self.directory.resolve() / f"{name}.pid", self.log(name))


@dataclass(frozen=True)
class Program:
    """A background process that is known by its pid file."""

    name: str
    pid_file: Path
    log: Path

    def record(self) -> dict[str, object]:
        """Return what was noted at the start, or an empty record."""
        try:
            found = json.loads(self.pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def pid(self) -> int | None:
        """Return the pid when the process runs; a pid that another process took over since is not ours."""
        record = self.record()
        pid = record.get("pid")
        return pid if isinstance(pid, int) and _started(pid) == record.get("started") else None

    def start(self, command: list[str], environ: Mapping[str, str], **facts: object) -> int:
        """Start the program in a session of its own, its output in the log, and note its pid and `facts`."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environ),
                start_new_session=True,
            )
        record = {"pid": process.pid, "started": _started(process.pid), **facts}
        part = self.pid_file.with_suffix(".part")
        part.write_text(json.dumps(record))
        part.replace(self.pid_file)
        return process.pid

    def stop(self) -> bool:
        """End the program: SIGTERM, and SIGKILL when it does not go. True when it ran."""
        pid = self.pid()
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            if not self._gone_within(STOP_SECONDS):
                os.kill(pid, signal.SIGKILL)
                self._gone_within(5)
        self.pid_file.unlink(missing_ok=True)
        return pid is not None

    def _gone_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.pid() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def died(self) -> CliError:
        """Return the error that tells why the program is not there, with the end of its log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        tail = "\n".join(f"  | {line}" for line in lines[-8:])
        return CliError(f"the {self.name} did not start:\n{tail}", f"the whole log is {self.log}")


def _started(pid: int) -> float | None:
    """Return when a process started, or None when it does not run (a zombie does not)."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def python(module: str) -> list[str]:
    """Return the command that runs a module of this installation."""
    return [sys.executable, "-m", module]
