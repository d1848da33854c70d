"""Follows a run over the API: watches that reconnect, and the log of the pod at work, as one stream of news."""

import contextlib
import json
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kubetune_api.names import LABEL_OWNER_UID
from kubetune_api.report import ReportLine, parse_line

from .access import ApiError, Cluster, Object, Unreachable
from .errors import CliError

IDLE = 45.0
"""Seconds of silence after which a watch is opened anew."""
RETRY = 1.0
MAX_RETRY = 8.0


@dataclass(frozen=True)
class Deleted:
    """The object is gone."""

    kind: str


@dataclass(frozen=True)
class Notice:
    """The connection is lost (text) or back (empty)."""

    text: str


News = Object | ReportLine | Deleted | Notice


class Follower:
    """Threads that bring news of a run and of the EvalRun it owns."""

    def __init__(self, cluster: Cluster, run: Object) -> None:
        self._cluster = cluster
        self._news: queue.Queue[News] = queue.Queue()
        self._stop = threading.Event()
        self._kind: str = run["kind"]
        self._followed: set[str] = set()
        self._delivered: set[str] = set()
        self._start(self._watch, self._kind, run["metadata"]["name"])
        self._follow_pods(run["metadata"]["uid"])

    def news(self, wait: float) -> Iterator[News]:
        """Yield what has come, waiting at most `wait` seconds for the first."""
        with contextlib.suppress(queue.Empty):
            yield self._news.get(timeout=wait)
            while True:
                yield self._news.get_nowait()

    def follow_evaluation(self, name: str) -> None:
        """Watch the owned EvalRun as well; once."""
        if name not in self._followed:
            self._followed.add(name)
            # The job names its evaluation before it makes it: one that is not there yet is awaited.
            self._start(self._watch, "EvalRun", name, True)

    def close(self) -> None:
        """Let the threads end; they are daemons and hold nothing."""
        self._stop.set()

    def _start(self, target: Any, *arguments: Any) -> None:
        threading.Thread(target=target, args=arguments, daemon=True).start()

    def _follow_pods(self, uid: str) -> None:
        if uid not in self._followed:
            self._followed.add(uid)
            self._start(self._read_logs, uid)

    def _watch(self, kind: str, name: str, awaited: bool = False) -> None:
        """List and watch one object until it is deleted, over lost connections and expired versions.

        One that is `awaited` counts as deleted only when it was there before.
        """
        delay = RETRY
        while not self._stop.is_set():
            try:
                gone = self._watch_once(kind, name)
                delay = RETRY
            except Unreachable as error:
                self._news.put(Notice(f"connection lost, trying again ({error.detail[:80]})"))
                gone = False
            except CliError as error:
                gone = isinstance(error, ApiError) and error.status == 404
                self._news.put(Notice(error.message))
            if gone and not (awaited and name not in self._delivered):
                self._news.put(Deleted(kind))
                return
            self._stop.wait(delay)
            delay = min(MAX_RETRY, delay * 2)

    def _watch_once(self, kind: str, name: str) -> bool:
        """Deliver the object as it is and as it changes; True when it was deleted."""
        path, query = self._cluster.path(kind), {"fieldSelector": f"metadata.name={name}"}
        listed = self._cluster.request("GET", path, query=query)
        found = [item for item in listed.get("items", []) if item["metadata"]["name"] == name]
        if not found:
            return True
        self._deliver(kind, found[0])
        version = str(listed["metadata"]["resourceVersion"])
        query |= {"watch": "true", "resourceVersion": version, "timeoutSeconds": "240", "allowWatchBookmarks": "true"}
        for line in self._cluster.stream(path, query, idle=IDLE):
            event = json.loads(line) if line.strip() else {}
            obj = event.get("object") or {}
            if event.get("type") == "ERROR":
                return False
            if (obj.get("metadata") or {}).get("name") != name or event.get("type") == "BOOKMARK":
                continue
            if event["type"] == "DELETED":
                return True
            self._deliver(kind, obj)
        return False

    def _deliver(self, kind: str, obj: Object) -> None:
        obj.setdefault("kind", kind)
        self._delivered.add(obj["metadata"]["name"])
        self._news.put(Notice(""))
        self._news.put(obj)
        self._follow_pods(obj["metadata"]["uid"])

    def _read_logs(self, uid: str) -> None:
        """Read the report lines in the logs of the owner's pods, the newest at work first. Logs are a bonus: without
        the right to read them the status alone is shown."""
        read: set[str] = set()
        while not self._stop.is_set():
            try:
                pod = self._newest_pod(uid, read)
            except ApiError:
                return
            except CliError:
                pod = None
            if pod is not None:
                read.add(pod)
                with contextlib.suppress(CliError):
                    self._read_log(pod)
            self._stop.wait(RETRY)

    def _newest_pod(self, uid: str, read: set[str]) -> str | None:
        base = f"/api/v1/namespaces/{self._cluster.namespace}/pods"
        pods = self._cluster.request("GET", base, query={"labelSelector": f"{LABEL_OWNER_UID}={uid}"}).get("items", [])
        started = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in (None, "Pending")]
        fresh = [pod["metadata"] for pod in started if pod["metadata"]["name"] not in read]
        return min(fresh, key=lambda meta: meta.get("creationTimestamp", ""))["name"] if fresh else None

    def _read_log(self, pod: str) -> None:
        base = f"/api/v1/namespaces/{self._cluster.namespace}/pods/{pod}/log"
        for line in self._cluster.stream(base, {"follow": "true"}, idle=600):
            if self._stop.is_set():
                return
            if (report := parse_line(line.decode(errors="replace"))) is not None:
                self._news.put(report)
