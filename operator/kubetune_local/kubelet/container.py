"""One container of a pod: its attempts, one after the other, as the restart policy says."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubetune_local import timestamps
from kubetune_local.client import UNREACHABLE, ApiError

from .attempt import Attempt, Exit, Orders, attempts_in
from .downward import ADDRESS, Unresolvable
from .environment import References, resolve
from .expansion import expand
from .status import ContainerView
from .volumes import mounts_of, real_path

if TYPE_CHECKING:
    from .pod import PodWorker

JSON = dict[str, Any]

LONGEST_BACK_OFF = 300.0
CALM_SECONDS = 600.0
LONGEST_RETRY = 10.0


class Container:
    """A container and what its attempts left on disk."""

    def __init__(self, spec: JSON, pod: PodWorker, *, initial: bool) -> None:
        self.spec = spec
        self.name: str = spec["name"]
        self.pod = pod
        self.initial = initial
        self.directory = pod.directory / "containers" / self.name
        self.attempts = attempts_in(self.directory)
        first = "PodInitializing" if pod.has_initial and not initial else "ContainerCreating"
        self._waiting: JSON = {} if self.attempts else {"reason": first}
        self._ended: dict[int, JSON] = {}
        self._failures = 0

    @property
    def latest(self) -> Attempt | None:
        """The newest attempt."""
        return self.attempts[-1] if self.attempts else None

    @property
    def running(self) -> Attempt | None:
        """The attempt whose process runs."""
        latest = self.latest
        return latest if latest is not None and latest.exit is None else None

    @property
    def memory_limit(self) -> str | None:
        """Limit of memory, as written."""
        limit = (self.spec.get("resources") or {}).get("limits", {}).get("memory")
        return str(limit) if limit is not None else None

    def view(self) -> ContainerView:
        """Return what the status needs."""
        latest = self.latest
        if latest is None:
            return ContainerView(self.spec, {"waiting": self._waiting})
        identity = f"process://{self.pod.uid}/{self.name}/{latest.number}"
        if latest.exit is None:
            state: JSON = {"running": {"startedAt": _seconds(latest.started_at)}}
            last = self._terminated(self.attempts[-2]) if len(self.attempts) > 1 else {}
        elif self._waiting:
            state, last = {"waiting": self._waiting}, self._terminated(latest)
        else:
            state = self._terminated(latest)
            last = self._terminated(self.attempts[-2]) if len(self.attempts) > 1 else {}
        return ContainerView(self.spec, state, last, latest.number, identity)

    def _terminated(self, attempt: Attempt) -> JSON:
        """Return the terminated state of an attempt; worked out once, for the files may be large or vanish."""
        if attempt.number not in self._ended:
            ended = attempt.exit or Exit(137, lost=True)
            from_log = self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError" and ended.code != 0
            self._ended[attempt.number] = terminated(ended, attempt.message(from_log=from_log), attempt, self.pod.uid)
        return {"terminated": self._ended[attempt.number]}

    async def run(self) -> bool:
        """Run to the end that the restart policy sees; True when it ended well."""
        for earlier in self.attempts[:-1]:
            await earlier.wait()
        while True:
            latest = self.latest
            if latest is not None:
                self._waiting = {}
                ended = await self._follow(latest)
                if not self._again(ended):
                    return ended.code == 0
                await self._back_off(latest)
            if self.pod.stopping.is_set():
                return False
            await self._start()

    async def _follow(self, attempt: Attempt) -> Exit:
        if attempt.exit is None:
            self.pod.changed()
        ended = await attempt.wait()
        await asyncio.to_thread(self._terminated, attempt)
        if ended.error:
            self.pod.warn("Failed", f"Error: {ended.error}", self)
        elif ended.oom_killed:
            message = f"Container {self.name} took more memory than its limit {self.memory_limit}"
            self.pod.warn("OOMKilled", message, self)
        if len(self.pod.containers) > 1:  # else the next state follows at once, and is worth the one write
            self.pod.changed()
        return ended

    def _again(self, ended: Exit) -> bool:
        policy = self.pod.restart_policy
        if self.pod.stopping.is_set() or policy == "Never":
            return False
        return ended.code != 0 or (policy == "Always" and not self.initial)

    async def _back_off(self, attempt: Attempt) -> None:
        """Wait before the next start, longer each time; anew after ten minutes of running well."""
        assert attempt.exit is not None
        if attempt.exit.seconds > CALM_SECONDS:
            self._failures = 0
        first = self.pod.settings.back_off_seconds
        delay = min(LONGEST_BACK_OFF, first * 2.0**self._failures)
        self._failures += 1
        message = f"back-off {delay:g}s restarting failed container={self.name} pod={self.pod.full_name}"
        self._waiting = {"reason": "CrashLoopBackOff", "message": message}
        self.pod.warn("BackOff", f"Back-off restarting failed container {self.name} in pod {self.pod.full_name}", self)
        self.pod.changed()
        await self.pod.pause(delay)

    async def _start(self) -> None:
        """Start the next attempt; what it lacks is waited for. Returns early when the pod is to stop."""
        number = self.latest.number + 1 if self.latest else 0
        attempt = Attempt(self.directory / str(number), number)
        delay = self.pod.settings.retry_seconds
        while not self.pod.stopping.is_set():
            try:
                orders = await self._orders(attempt)
                break
            except (Unresolvable, ApiError, UnicodeDecodeError, *UNREACHABLE) as error:
                message = error.message if isinstance(error, ApiError) else str(error)
                self._waiting = {"reason": "CreateContainerConfigError", "message": message}
                self.pod.warn("Failed", f"Error: {message}", self)
                self.pod.changed()
            await self.pod.pause(delay)
            delay = min(LONGEST_RETRY, delay * 2)
        else:
            return
        await attempt.start(orders, self.pod.alive_file)
        self._waiting = {}
        self.attempts.append(attempt)
        for old in self.attempts[:-2]:
            shutil.rmtree(old.directory, ignore_errors=True)
        self.attempts = self.attempts[-2:]
        if not attempt.start_error:
            self.pod.say("Started", f"Started container {self.name}", self)
        if self.pod.stopping.is_set():
            attempt.terminate()

    async def _orders(self, attempt: Attempt) -> Orders:
        pod, settings = self.pod, self.pod.settings
        declared = await resolve(self.spec, pod.pod, References(pod.client, pod.namespace), pod.allocatable)
        mounts = mounts_of(self.spec, pod.places, declared)
        command = [expand(word, declared) for word in [*self.spec.get("command", []), *self.spec.get("args", [])]]
        if not self.spec.get("command"):
            raise Unresolvable("images are not run here, processes are: give the container a command")
        environment = {
            **pod.inherited,
            "HOSTNAME": pod.pod["spec"].get("hostname") or pod.pod["metadata"]["name"],
            **declared,
            settings.mounts_variable: json.dumps(mounts),
            settings.hosts_variable: json.dumps(hosts_of(pod.pod)),
            settings.termination_log_variable: str(attempt.termination_log),
        }
        where = _working_directory(self.spec.get("workingDir"), mounts, pod.directory / "work" / self.name)
        return Orders(command, environment, str(where), nice=settings.nice, grace_seconds=pod.grace_seconds)


def _working_directory(wanted: str | None, mounts: Mapping[str, str], scratch: Path) -> Path:
    """Return where a container works: below a mount, a folder of this machine, or an empty folder of its own."""
    if wanted:
        place = real_path(wanted, mounts)
        if place is not None:
            place.mkdir(parents=True, exist_ok=True)
            return place
        if Path(wanted).is_dir():
            return Path(wanted)
    scratch.mkdir(parents=True, exist_ok=True)
    return scratch


def hosts_of(pod: JSON) -> dict[str, str]:
    """Return the host names of the pods that share a pod's headless Service: all of them run on this machine."""
    subdomain = pod["spec"].get("subdomain")
    return {f"*.{subdomain}": ADDRESS} if subdomain else {}


def terminated(ended: Exit, message: str, attempt: Attempt, uid: str) -> JSON:
    """Return a terminated state."""
    if ended.lost:
        reason = "ContainerStatusUnknown"
        message = message or "The container ended while no kubelet ran, and nobody saw how"
    elif ended.error:
        reason, message = "ContainerCannotRun", ended.error
    elif ended.oom_killed:
        reason = "OOMKilled"
    else:
        reason = "Completed" if ended.code == 0 else "Error"
    state: JSON = {
        "exitCode": ended.code,
        "reason": reason,
        "finishedAt": _seconds(ended.finished_at) or timestamps.rfc3339(timestamps.now()),
        "containerID": f"process://{uid}/{attempt.directory.parent.name}/{attempt.number}",
    }
    if ended.started_at:
        state["startedAt"] = _seconds(ended.started_at)
    if message:
        state["message"] = message
    return state


def _seconds(stamp: str) -> str:
    """Return a time with nanoseconds as one of whole seconds."""
    return f"{stamp[:19]}Z" if stamp else ""
