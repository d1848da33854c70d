"""The operator, installed by Helm from our chart with the rights that it makes."""

from __future__ import annotations

import json
from pathlib import Path

from e2e.harness.cluster import JSON, Cluster
from e2e.harness.images import Image
from e2e.harness.shell import PATIENCE, ROOT, program, run, until

NAME = "kubetune"
NAMESPACE = "kubetune-system"
REPLICAS = 2
SELECTOR = f"app.kubernetes.io/instance={NAME}"


class Release:
    """A release of the chart."""

    def __init__(self, cluster: Cluster, folder: Path, trainer: Image, storage_class: str | None) -> None:
        self.cluster = cluster
        self._values = folder / "values.json"
        settings: JSON = {
            "log_format": "text",
            "trainer_image": trainer.name,
            "progress_interval_seconds": 2,
            "waiting_interval_seconds": 2,
            "termination_grace_seconds": 30,
            "node_lost_grace_seconds": 15,
        }
        if storage_class:
            settings["storage_class_name"] = storage_class
        self._settings = settings

    def install(self, operator: Image) -> None:
        """Install, or upgrade to another image, and wait until every replica is ready and one leads."""
        values = {
            "replicas": REPLICAS,
            "image": {"repository": operator.repository, "tag": operator.tag},
            "settings": self._settings,
        }
        self._values.write_text(json.dumps(values))
        flags = [each.replace("--context", "--kube-context") for each in self.cluster.flags]
        patience = f"--timeout={180 * PATIENCE:.0f}s"
        run(
            program("helm"), *flags, "upgrade", "--install", NAME, str(ROOT / "charts/kubetune"),
            "--namespace", NAMESPACE, "--create-namespace", "--values", str(self._values), "--wait", patience,
            seconds=240,
        )  # fmt: skip
        until("every replica runs the image and one leads", lambda: self._is_settled(operator), 120)

    def _is_settled(self, operator: Image) -> bool:
        pods = self.pods()
        images = {pod["spec"]["containers"][0]["image"] for pod in pods}
        return len(pods) == REPLICAS and images == {operator.name} and self.leader() is not None

    def pods(self) -> list[JSON]:
        """Return the operator's pods that are not going away."""
        pods = self.cluster.list("pods", NAMESPACE, SELECTOR)
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def leader(self) -> str | None:
        """Return the name of the pod that holds the Lease, unless it is going away."""
        holders = [lease["spec"].get("holderIdentity") or "" for lease in self.cluster.list("leases", NAMESPACE)]
        names = [pod["metadata"]["name"] for pod in self.pods()]
        return next((name for name in names if any(name in holder for holder in holders)), None)

    def restarts(self) -> int:
        """Return how often a container of the operator was started again."""
        statuses = [each for pod in self.pods() for each in pod["status"].get("containerStatuses", [])]
        return sum(each["restartCount"] for each in statuses)
