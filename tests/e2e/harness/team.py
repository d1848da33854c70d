"""A team's namespace under Pod Security `restricted`, with a model and data on a volume, and its fine-tuning jobs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

from e2e.harness.cluster import JSON, Cluster
from e2e.harness.images import Image
from e2e.harness.record import Record
from e2e.harness.scripts import HOGS, LOOK, SEED
from e2e.harness.shell import ROOT, T

INPUTS = "inputs"
#: Large enough that a step takes a while, so that trouble comes in the middle of a run.
SIZES = {"hidden_size": 192, "intermediate_size": 512, "head_dim": 48}
STEPS = 60
TRAINING: JSON = {
    "maxSteps": STEPS,
    "globalBatchTokens": 4096,
    "sequenceLength": 128,
    "learningRate": "5e-3",
    "precision": "FP32",
    "evaluateEvery": {"steps": 30},
    "checkpoints": {"everySteps": 5},
}
RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "fsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
LOCKED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


class Team:
    """A namespace and what runs in it."""

    def __init__(self, cluster: Cluster, namespace: str, image: Image, storage_class: str | None, folder: Path) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.image = image
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
        cluster.wait_for("serviceaccount", "default", namespace, lambda found: True, "is made", 30)
        self.record = Record(cluster, namespace, folder)
        self._seed(storage_class)

    def _seed(self, storage_class: str | None) -> None:
        spec: JSON = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "256Mi"}}}
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": self._metadata(INPUTS)}
        self.cluster.apply(claim | {"spec": spec | ({"storageClassName": storage_class} if storage_class else {})})
        code = {"seed.py": SEED, "look.py": LOOK, "tiny.py": (ROOT / "tests/unit/trainer/tiny.py").read_text()}
        self.cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": self._metadata("code"), "data": code})
        self._run("seed", INPUTS, ["python", "/code/seed.py", json.dumps(SIZES)])

    def _metadata(self, name: str) -> JSON:
        return {"name": name, "namespace": self.namespace}

    def _run(self, name: str, claim: str, command: list[str]) -> str:
        """Run a command in a pod that sees a claim as /inputs; return its log."""
        mounts = [
            {"name": "inputs", "mountPath": "/inputs"},
            {"name": "code", "mountPath": "/code"},
            {"name": "tmp", "mountPath": "/tmp"},
        ]
        volumes = [
            {"name": "inputs", "persistentVolumeClaim": {"claimName": claim}},
            {"name": "code", "configMap": {"name": "code"}},
            {"name": "tmp", "emptyDir": {}},
        ]
        container = {"name": "main", "image": self.image.name, "imagePullPolicy": "IfNotPresent", "command": command}
        spec: JSON = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": RESTRICTED,
            "containers": [container | {"securityContext": LOCKED, "volumeMounts": mounts}],
            "volumes": volumes,
        }
        self.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": self._metadata(name), "spec": spec})

        def done(pod: JSON) -> bool:
            assert pod["status"]["phase"] != "Failed", self.cluster.kubectl("logs", name, "-n", self.namespace)
            return bool(pod["status"]["phase"] == "Succeeded")

        self.cluster.wait_for("pod", name, self.namespace, done, "done", 180)
        printed = self.cluster.kubectl("logs", name, "-n", self.namespace)
        self.cluster.kubectl("delete", "pod", name, "-n", self.namespace, "--grace-period=0", "--force")
        return printed

    def workspace(self, job: str) -> JSON:
        """Return what lies in the workspace of a job: its files, the lines of its metrics, the start of each page."""
        labels = [claim["metadata"] for claim in self.cluster.list("pvc", self.namespace)]
        claim = next(each["name"] for each in labels if job in [o["name"] for o in each.get("ownerReferences", [])])
        found: JSON = json.loads(self._run(f"look-{job}", claim, ["python", "/code/look.py"]))
        return found

    def apply_job(self, name: str, **spec: object) -> None:
        """Apply a LoRA job on one core; whatever a scenario before left goes, so that the core is free."""
        self.cluster.kubectl("delete", "finetunejobs", "--all", "-n", self.namespace, seconds=120)
        body: JSON = {
            "model": {"uri": f"pvc://{INPUTS}/model"},
            "dataset": {"train": [{"uri": f"pvc://{INPUTS}/train.jsonl"}], "validation": {"fraction": "0.1"}},
            "method": {"lora": {"rank": 8}},
            "training": TRAINING,
            "resources": {"accelerator": {"count": 0}, "cpu": "1", "memory": "2Gi"},
            "workspace": {"size": "256Mi"},
        }
        kind = {"apiVersion": "kubetune.io/v1alpha1", "kind": "FineTuneJob", "metadata": self._metadata(name)}
        self.cluster.apply(kind | {"spec": body | spec})

    def suspend(self, name: str, suspended: bool) -> None:
        """Suspend a job, or let it go on."""
        self.cluster.patch("finetunejob", name, self.namespace, {"spec": {"suspend": suspended}})

    def job(self, name: str) -> JSON:
        """Return a job."""
        found = self.cluster.get("finetunejob", name, self.namespace)
        assert found is not None, f"no FineTuneJob {name}"
        return found

    def wait_for(self, name: str, check: Callable[[JSON], T], what: str, seconds: float) -> T:
        """Return the first true answer of `check` about a job; it must not fail meanwhile."""

        def watched(job: JSON) -> T:
            failed = condition(job, "Failed")
            assert failed.get("status") != "True", f"{name} failed: {failed.get('reason')}: {failed.get('message')}"
            return check(job)

        return self.cluster.wait_for("finetunejob", name, self.namespace, watched, what, seconds)

    def trained(self, name: str, step: int, seconds: float = 150) -> int:
        """Wait until a job has trained some steps; return how many."""
        return self.wait_for(name, lambda job: (at := step_of(job)) >= step and at, f"is at step {step}", seconds)

    def succeeded(self, name: str, seconds: float = 240) -> JSON:
        """Wait until a job has succeeded; return it."""
        return self.wait_for(
            name, lambda job: condition(job, "Succeeded").get("status") == "True" and job, "succeeds", seconds
        )  # type: ignore[return-value]

    def fill_memory(self, pod: str, megabytes: int) -> None:
        """Take memory inside a pod's container until the kernel ends the trainer there."""
        command = ["exec", pod, "-n", self.namespace, "--", "python", "-c", HOGS, str(megabytes // 40)]
        with contextlib.suppress(AssertionError):  # the container goes away below the call
            self.cluster.kubectl(*command, seconds=60)

    def log(self, pod: str) -> str:
        """Return the log of a pod."""
        return self.cluster.kubectl("logs", pod, "-n", self.namespace)

    def running_pod(self, name: str) -> JSON:
        """Return the pod that trains a job."""
        selector = f"kubetune.io/name={name},kubetune.io/stage=train"
        pods = self.cluster.list("pods", self.namespace, selector)
        return next(pod for pod in pods if pod["status"]["phase"] == "Running")


def condition(obj: JSON, kind: str) -> JSON:
    """Return a condition of an object, or {}."""
    conditions: list[JSON] = (obj.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == kind), {})


def step_of(job: JSON) -> int:
    """Return the step that a job has told of."""
    return int(((job.get("status") or {}).get("progress") or {}).get("step") or 0)
