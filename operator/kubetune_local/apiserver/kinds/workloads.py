"""Workloads of `apps/v1` and disruption budgets: stored and scaled; no controller runs them here."""

from typing import Any

from kubetune_local.apiserver.cluster import Cluster, Request
from kubetune_local.apiserver.errors import FieldError, invalid_value, required, unsupported
from kubetune_local.apiserver.kinds.podspec import default_pod_spec, pod_spec_errors
from kubetune_local.apiserver.kinds.strategy import Strategy, immutable, put_default

Obj = dict[str, Any]
_ROLLING = {"maxUnavailable": "25%", "maxSurge": "25%"}


class WorkloadStrategy(Strategy):
    """A kind with `selector` and a pod `template`."""

    generation = True

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.warning = f"the embedded cluster stores {kind}s but runs no controller for them"

    def default(self, obj: Obj) -> None:
        """Set the defaults of `k8s.io/kubernetes/pkg/apis/apps/v1/defaults.go`."""
        spec = obj.setdefault("spec", {})
        template = spec.setdefault("template", {})
        template.setdefault("metadata", {})
        default_pod_spec(template.setdefault("spec", {}))
        if self.kind != "DaemonSet":
            spec.setdefault("replicas", 1)
        if self.kind == "Deployment":
            put_default(spec, revisionHistoryLimit=10, progressDeadlineSeconds=600)
            strategy = spec.setdefault("strategy", {})
            if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
                put_default(strategy.setdefault("rollingUpdate", {}), **_ROLLING)
        elif self.kind == "StatefulSet":
            put_default(spec, podManagementPolicy="OrderedReady", revisionHistoryLimit=10)
            put_default(spec, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
            put_default(spec, persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"})
        elif self.kind == "DaemonSet":
            rolling = {"maxUnavailable": 1, "maxSurge": 0}
            put_default(
                spec, revisionHistoryLimit=10, updateStrategy={"type": "RollingUpdate", "rollingUpdate": rolling}
            )

    def prepare_create(self, cluster: Cluster, request: Request, obj: Obj) -> None:
        """Start with an empty status."""
        obj["status"] = {"replicas": 0} if self.kind in ("ReplicaSet", "StatefulSet", "ReplicationController") else {}

    def validate(self, cluster: Cluster, obj: Obj) -> list[FieldError]:
        """Check selector, template and replicas."""
        spec = obj["spec"]
        labels = spec["template"].get("metadata", {}).get("labels", {})
        selector = spec.get("selector")
        errors = []
        if self.kind != "ReplicationController":
            if not selector:
                errors.append(required("spec.selector"))
            elif any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
                detail = "`selector` does not match template `labels`"
                errors.append(invalid_value("spec.template.metadata.labels", labels, detail))
        if spec.get("replicas", 0) < 0:
            errors.append(invalid_value("spec.replicas", spec["replicas"], "must be greater than or equal to 0"))
        pod = spec["template"]["spec"]
        errors += pod_spec_errors(pod, "spec.template.spec")
        if pod.get("restartPolicy") != "Always":
            errors.append(unsupported("spec.template.spec.restartPolicy", pod.get("restartPolicy"), ["Always"]))
        return errors

    def validate_update(self, cluster: Cluster, obj: Obj, old: Obj) -> list[FieldError]:
        """The selector never changes."""
        return [] if self.kind == "ReplicationController" else immutable(obj, old, "spec.selector")


class DisruptionBudgetStrategy(Strategy):
    """`policy/v1` PodDisruptionBudget: stored; evictions here do not consult it."""

    generation = True
    warning = "the embedded cluster stores PodDisruptionBudgets but evictions do not consult them"

    def prepare_create(self, cluster: Cluster, request: Request, obj: Obj) -> None:
        """Start with the status of a budget that no controller has looked at."""
        counts = ("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods")
        obj["status"] = dict.fromkeys(counts, 0)
