"""The pod of a stage: it passes the `restricted` level of the Pod Security Standards, and can talk to no API server."""

from kubetune_api.run import RUN_FILE_PATH, TERMINATION_LOG_PATH

from ..plan.plan import CONTAINER, PodPlan, StagePlan, WorkspacePlan
from ..settings import Settings
from .environment import environment, secret_sources
from .metadata import Manifest
from .placement import placement_fields
from .run_file import run_file_source
from .volumes import mounts, volumes


def pod_spec(stage_plan: StagePlan, workspace: WorkspacePlan, name: str, settings: Settings) -> Manifest:
    """Return the spec of a stage's pod; `name` is that of its Job."""
    pod = stage_plan.pod
    registries = dict.fromkeys([*settings.image_pull_secrets, *pod.image_pull_secrets])
    named = {"serviceAccountName": pod.service_account_name, "runtimeClassName": pod.runtime_class_name}
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": settings.termination_grace_seconds,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _pod_security(settings),
        **({"imagePullSecrets": [{"name": name} for name in registries]} if registries else {}),
        **{name: value for name, value in named.items() if value},
        **placement_fields(pod.placement, name),
        "containers": [_container(pod, workspace, settings)],
        "volumes": volumes(workspace, pod, run_file_source(stage_plan.run_file, name)),
    }


def _container(pod: PodPlan, workspace: WorkspacePlan, settings: Settings) -> Manifest:
    sources = secret_sources(pod.secrets)
    return {
        "name": CONTAINER,
        "image": settings.trainer_image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": list(settings.trainer_command),
        "args": [RUN_FILE_PATH],
        **({"envFrom": sources} if sources else {}),
        "env": environment(settings.trainer_env, pod.env),
        "resources": _resources(pod),
        "volumeMounts": mounts(workspace, pod),
        "terminationMessagePath": TERMINATION_LOG_PATH,
        # What the trainer says in the end is its report; when it dies without a word, the end of its log is.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _resources(pod: PodPlan) -> Manifest:
    """Requests equal limits: the pod is the last to be evicted, and gets whole cores next to its accelerator."""
    amounts = {"cpu": pod.cpu, "memory": pod.memory, **{name: str(count) for name, count in pod.extended.items()}}
    return {"requests": amounts, "limits": dict(amounts)}


def _pod_security(settings: Settings) -> Manifest:
    return {
        "runAsNonRoot": True,
        "runAsUser": settings.run_as_user,
        "runAsGroup": settings.run_as_user,
        "fsGroup": settings.run_as_user,
        # A workspace of many files is not walked through at each start.
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
