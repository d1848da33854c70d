"""Everything that ever was: watches of Jobs and Pods that began before the first of them, so that none can hide."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from e2e.harness.cluster import JSON, Cluster
from e2e.harness.shell import program

RECORDED = ("jobs", "pods", "events")
NAME, STAGE = "kubetune.io/name", "kubetune.io/stage"


class Record:
    """The events of a namespace's Jobs and Pods, in order."""

    def __init__(self, cluster: Cluster, namespace: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._files = {kind: folder / f"{kind}.json" for kind in RECORDED}
        self._watches = [self._watch(cluster, namespace, kind) for kind in RECORDED]

    def _watch(self, cluster: Cluster, namespace: str, kind: str) -> subprocess.Popen[bytes]:
        command = [program("kubectl"), *cluster.flags, "get", kind, "-n", namespace, "--watch", "-o", "json"]
        with self._files[kind].open("wb") as file:
            return subprocess.Popen([*command, "--output-watch-events"], stdin=subprocess.DEVNULL, stdout=file)

    def stop(self) -> None:
        """End the watches."""
        for watch in self._watches:
            watch.terminate()
            watch.wait(10)

    def states(self, kind: str, job: str, stage: str = "train") -> list[JSON]:
        """Return every state in which a child of a stage of a FineTuneJob was seen."""
        assert all(watch.poll() is None for watch in self._watches), "a watch ended: the record has a gap"
        return [
            each
            for each in self._objects(kind)
            if (labels := each["metadata"].get("labels") or {}).get(NAME) == job and labels.get(STAGE) == stage
        ]

    def children(self, kind: str, job: str, stage: str = "train") -> list[JSON]:
        """Return each child that there ever was, as it was seen last, in the order of their coming."""
        return list({each["metadata"]["uid"]: each for each in self.states(kind, job, stage)}.values())

    def _objects(self, kind: str) -> Iterator[JSON]:
        text, decoder, at = self._files[kind].read_text(), json.JSONDecoder(), 0
        while (at := text.find("{", at)) >= 0:
            try:
                event, at = decoder.raw_decode(text, at)
            except ValueError:  # the last one is still being written
                return
            yield event["object"]
