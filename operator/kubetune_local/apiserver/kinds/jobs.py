"""Jobs and CronJobs: selector and labels of the Job controller, immutability of the template."""

from typing import Any

from kubetune_local.apiserver.cluster import Cluster, Request
from kubetune_local.apiserver.errors import FieldError, invalid_value, required, unsupported
from kubetune_local.apiserver.kinds.podspec import default_pod_spec, pod_spec_errors
from kubetune_local.apiserver.kinds.strategy import IMMUTABLE, Strategy, at, put_default

Obj = dict[str, Any]
_MAX_INT32 = 2**31 - 1
_UID_LABELS = ("batch.kubernetes.io/controller-uid", "controller-uid")
_NAME_LABELS = ("batch.kubernetes.io/job-name", "job-name")
_NOT_NEGATIVE = ("parallelism", "completions", "backoffLimit", "ttlSecondsAfterFinished", "activeDeadlineSeconds")
_SCHEDULING = ("nodeSelector", "tolerations", "affinity", "schedulingGates")


def default_job_spec(spec: Obj) -> None:
    """Set the defaults of a Job spec (`k8s.io/kubernetes/pkg/apis/batch/v1/defaults.go`)."""
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    put_default(spec, parallelism=1, completionMode="NonIndexed", suspend=False, manualSelector=False)
    spec.setdefault("backoffLimit", _MAX_INT32 if "backoffLimitPerIndex" in spec else 6)
    spec.setdefault("podReplacementPolicy", "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed")
    for rule in spec.get("podFailurePolicy", {}).get("rules", ()):
        for pattern in rule.get("onPodConditions", ()):
            pattern.setdefault("status", "True")
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    default_pod_spec(template.setdefault("spec", {}))


class JobStrategy(Strategy):
    """`batch/v1` Job."""

    selectable = ("status.successful",)
    generation = True
    orphans = True

    def default(self, obj: Obj) -> None:
        """Set the defaults; the labels of the template become the Job's where it has none."""
        spec = obj.setdefault("spec", {})
        labels = spec.get("template", {}).get("metadata", {}).get("labels")
        if labels and not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)
        default_job_spec(spec)

    def prepare_create(self, cluster: Cluster, request: Request, obj: Obj) -> None:
        """Generate selector and template labels from the UID, so that no two Jobs select each other's pods."""
        obj["status"] = {}
        spec = obj["spec"]
        if spec.get("manualSelector"):
            return
        labels = spec["template"]["metadata"].setdefault("labels", {})
        uid, name = obj["metadata"]["uid"], obj["metadata"].get("name", "")
        for label in _NAME_LABELS:
            labels[label] = name
        for label in _UID_LABELS:
            labels[label] = uid
        spec["selector"] = {"matchLabels": {_UID_LABELS[0]: uid}}

    def validate(self, cluster: Cluster, obj: Obj) -> list[FieldError]:
        """Check the spec and the pod template."""
        spec = obj["spec"]
        errors = [
            invalid_value(f"spec.{name}", spec[name], "must be greater than or equal to 0")
            for name in _NOT_NEGATIVE
            if spec.get(name, 0) < 0
        ]
        if spec["completionMode"] not in ("NonIndexed", "Indexed"):
            errors.append(unsupported("spec.completionMode", spec["completionMode"], ["NonIndexed", "Indexed"]))
        if spec["completionMode"] == "Indexed" and "completions" not in spec:
            errors.append(required("spec.completions", "when completion mode is Indexed"))
        if "backoffLimitPerIndex" in spec and spec["completionMode"] != "Indexed":
            detail = "may only be specified for completionMode=Indexed"
            errors.append(invalid_value("spec.backoffLimitPerIndex", spec["backoffLimitPerIndex"], detail))
        return errors + _failure_policy_errors(spec) + _template_errors(spec["template"]["spec"], "spec.template.spec")

    def validate_update(self, cluster: Cluster, obj: Obj, old: Obj) -> list[FieldError]:
        """Refuse changes of the fields that define the Job."""
        errors = []
        new_spec, old_spec = obj["spec"], old["spec"]
        if not (new_spec["completionMode"] == "Indexed" and new_spec.get("completions") == new_spec["parallelism"]):
            errors += _immutable(obj, old, "spec.completions")
        errors += _immutable(obj, old, "spec.selector")
        if _frozen_template(new_spec) != _frozen_template(old_spec) or (
            new_spec["template"] != old_spec["template"] and not _may_change_template(old)
        ):
            errors.append(invalid_value("spec.template", new_spec["template"], IMMUTABLE))
        for name in ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"):
            errors += _immutable(obj, old, f"spec.{name}")
        return errors

    def field(self, obj: Obj, path: str) -> str:
        """`status.successful` is a count, 0 where absent."""
        return (
            str(obj.get("status", {}).get("succeeded", 0)) if path == "status.successful" else super().field(obj, path)
        )


def _immutable(obj: Obj, old: Obj, path: str) -> list[FieldError]:
    value = at(obj, path)
    return [] if value == at(old, path) else [invalid_value(path, value, IMMUTABLE)]


def _may_change_template(old: Obj) -> bool:
    """A suspended Job that has not started may change its scheduling directives and resources (KEP-2926)."""
    return bool(old["spec"].get("suspend")) and not old.get("status", {}).get("startTime")


def _frozen_template(spec: Obj) -> Obj:
    template: Obj = {**spec["template"]}
    metadata = {
        key: value for key, value in template.get("metadata", {}).items() if key not in ("labels", "annotations")
    }
    pod = {key: value for key, value in template.get("spec", {}).items() if key not in _SCHEDULING}
    for group in ("containers", "initContainers"):
        pod[group] = [{**container, "resources": None} for container in pod.get(group, ())]
    return {"metadata": metadata, "spec": pod}


def _failure_policy_errors(spec: Obj) -> list[FieldError]:
    policy = spec.get("podFailurePolicy")
    if policy is None:
        return []
    errors = []
    if spec["template"]["spec"].get("restartPolicy") != "Never":
        restart = spec["template"]["spec"].get("restartPolicy")
        detail = 'only "Never" is supported when podFailurePolicy is specified'
        errors.append(invalid_value("spec.template.spec.restartPolicy", restart, detail))
    for index, rule in enumerate(policy.get("rules", ())):
        here = f"spec.podFailurePolicy.rules[{index}]"
        actions = ["Count", "FailIndex", "FailJob", "Ignore"]
        if rule.get("action") not in actions:
            errors.append(unsupported(f"{here}.action", rule.get("action", ""), actions))
        if rule.get("action") == "FailIndex" and "backoffLimitPerIndex" not in spec:
            detail = "requires the backoffLimitPerIndex to be set"
            errors.append(invalid_value(f"{here}.action", "FailIndex", detail))
        if not rule.get("onExitCodes") and not rule.get("onPodConditions"):
            errors.append(invalid_value(here, "", "specifying one of OnExitCodes and OnPodConditions is required"))
        if rule.get("onExitCodes") and rule.get("onPodConditions"):
            errors.append(invalid_value(here, "", "specifying both OnExitCodes and OnPodConditions is not supported"))
    return errors


def _template_errors(pod: Obj, path: str) -> list[FieldError]:
    errors = pod_spec_errors(pod, path)
    if pod.get("restartPolicy") == "Always":
        errors.append(required(f"{path}.restartPolicy", 'valid values: "OnFailure", "Never"'))
    return errors


class CronJobStrategy(Strategy):
    """`batch/v1` CronJob: stored; no controller runs it here."""

    generation = True
    warning = "the embedded cluster stores CronJobs but does not run them"

    def default(self, obj: Obj) -> None:
        """Set the defaults."""
        spec = obj.setdefault("spec", {})
        put_default(
            spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1
        )
        template = spec.setdefault("jobTemplate", {})
        template.setdefault("metadata", {})
        default_job_spec(template.setdefault("spec", {}))
        for name in ("completions", "parallelism", "manualSelector"):
            if template["spec"].get(name) in (1, False):
                del template["spec"][name]

    def prepare_create(self, cluster: Cluster, request: Request, obj: Obj) -> None:
        """Start with an empty status."""
        obj["status"] = {}

    def validate(self, cluster: Cluster, obj: Obj) -> list[FieldError]:
        """Check that there is a schedule and a valid pod template."""
        errors = [] if obj["spec"].get("schedule") else [required("spec.schedule")]
        pod = obj["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        return errors + _template_errors(pod, "spec.jobTemplate.spec.template.spec")
