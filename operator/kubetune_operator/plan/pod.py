"""`spec.pod`: what the pods of a run carry besides; nothing in it may undo what KubeTune or the platform gives them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubetune_api.fields import LABEL_KEY_PATTERN
from kubetune_api.pod import EnvVariable, ExtraVolume, PodSettings
from kubetune_api.run import CLAIMS_PATH, RUN_FILE_PATH, WORKSPACE_PATH

from ..settings import Settings
from .plan import NOT_ALLOWED, Refusal, VolumePlan, bad

#: Variables that every container gets: nothing is sent home, and what it says is seen at once.
OWN_ENV = {"HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"}
#: Variables by which the pods of a run find each other.
_GANG_ENV = ("JOB_COMPLETION_INDEX", "MASTER_ADDR", "MASTER_PORT", "RANK", "LOCAL_RANK", "WORLD_SIZE")
_CREDENTIAL_NAME = re.compile(r"(TOKEN|PASSWORD|PASSWD|CREDENTIALS?|(^|_)KEY|_KEY_ID)$|SECRET", re.IGNORECASE)
_CREDENTIAL_VALUE = re.compile(
    r"\b(hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|AKIA[0-9A-Z]{16}|sk-[-A-Za-z0-9_]{20,})|://[^/\s:@]+:[^/\s@]+@"
)
_RESERVED_PREFIXES = ("kubetune.io", "kueue.x-k8s.io", "batch.kubernetes.io")
_RESERVED_LABELS = ("app.kubernetes.io/managed-by", "job-name", "controller-uid")
_SECURITY_PREFIXES = ("seccomp.security.alpha.kubernetes.io", "container.apparmor.security.beta.kubernetes.io")
_RESERVED_PATHS = (
    WORKSPACE_PATH,
    RUN_FILE_PATH.rpartition("/")[0],
    CLAIMS_PATH,
    *("/tmp", "/dev", "/proc", "/sys", "/var/run/secrets", "/run/secrets"),
)


def refuse(pod: PodSettings, settings: Settings) -> Iterator[Refusal]:
    """Refuse names that the operator, Kubernetes or Kueue gives itself, secrets in plain sight, and clashing mounts."""
    yield from _refuse_keys("spec.pod.labels", pod.labels, _RESERVED_PREFIXES, _RESERVED_LABELS)
    yield from _refuse_keys("spec.pod.annotations", pod.annotations, _RESERVED_PREFIXES + _SECURITY_PREFIXES, ())
    for index, variable in enumerate(pod.env):
        yield from _refuse_variable(f"spec.pod.env[{index}]", variable, settings)
    for index, volume in enumerate(pod.volumes):
        yield from _refuse_mount(f"spec.pod.volumes[{index}].mountPath", volume, pod.volumes[:index])


def _refuse_keys(
    field: str, given: Mapping[str, str], prefixes: tuple[str, ...], keys: tuple[str, ...]
) -> Iterator[Refusal]:
    for key in given:
        prefix = key.rpartition("/")[0]
        if not re.fullmatch(LABEL_KEY_PATTERN, key):
            yield bad(field, f"{key!r} is no key; write for example cost-centre or example.com/cost-centre")
        elif key in keys or any(prefix == taken or prefix.endswith(f".{taken}") for taken in prefixes):
            yield Refusal(NOT_ALLOWED, field, f"{field}: {key} is not yours to set; leave it out")


def _refuse_variable(field: str, variable: EnvVariable, settings: Settings) -> Iterator[Refusal]:
    name = variable.name
    if name.startswith("KUBETUNE_") or name in (*OWN_ENV, *_GANG_ENV):
        yield Refusal(NOT_ALLOWED, f"{field}.name", f"{field}.name: {name} is set by KubeTune; leave it out")
    elif name in settings.trainer_env:
        problem = f"{name} is set by the platform for every pod; leave it out"
        yield Refusal(NOT_ALLOWED, f"{field}.name", f"{field}.name: {problem}")
    elif _CREDENTIAL_NAME.search(name):
        problem = f"{name} looks like a credential, and anybody may read it here; {_BY_SECRET}"
        yield Refusal(NOT_ALLOWED, f"{field}.name", f"{field}.name: {problem}")
    elif _CREDENTIAL_VALUE.search(variable.value):
        problem = f"the value of {name} looks like a credential, and anybody may read it here; {_BY_SECRET}"
        yield Refusal(NOT_ALLOWED, f"{field}.value", f"{field}.value: {problem}")


_BY_SECRET = "put it into a Secret and name that in model.credentialsSecret or the credentialsSecret of a source"


def _refuse_mount(field: str, volume: ExtraVolume, before: list[ExtraVolume]) -> Iterator[Refusal]:
    path = volume.mount_path
    if path.endswith("/") or any(step in ("", ".", "..") for step in path.split("/")[1:]):
        yield bad(field, f"{path} is no plain path; write for example /mnt/cache")
        return
    for taken in _RESERVED_PATHS:
        if _overlap(path, taken):
            yield Refusal(NOT_ALLOWED, field, f"{field}: {taken} is KubeTune's own; mount it elsewhere, as /mnt/cache")
            return
    for other in before:
        if _overlap(path, other.mount_path.rstrip("/")):
            yield bad(field, f"{path} and {other.mount_path} lie in each other; give each a place of its own")


def _overlap(path: str, other: str) -> bool:
    return f"{path}/".startswith(f"{other}/") or f"{other}/".startswith(f"{path}/")


def settings_of(pod: PodSettings) -> dict[str, Any]:
    """Return the fields of a PodPlan that come from here."""
    return {
        "service_account_name": pod.service_account_name,
        "image_pull_secrets": [secret.name for secret in pod.image_pull_secrets],
        "labels": dict(pod.labels),
        "annotations": dict(pod.annotations),
        "env": {variable.name: variable.value for variable in pod.env},
        "volumes": [VolumePlan(each.mount_path, each.claim_name, each.config_map_name) for each in pod.volumes],
        "runtime_class_name": pod.runtime_class_name,
    }
