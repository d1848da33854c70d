"""`spec.pod`: the fields of a pod that a run may set; a short list instead of a whole pod template."""

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from .fields import ApiModel, LabelValue, ObjectName, cel

EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", min_length=1, max_length=128)]
EnvText = Annotated[str, StringConstraints(max_length=4096)]
AnnotationText = Annotated[str, StringConstraints(max_length=4096)]
MountPath = Annotated[str, StringConstraints(pattern=r"^/[^:]+$", min_length=2, max_length=256)]


class PullSecret(ApiModel):
    """A Secret with registry credentials."""

    name: ObjectName
    """name of the Secret in the namespace of the run."""


class EnvVariable(ApiModel):
    """One environment variable with a value that anybody may read."""

    name: EnvName
    """name of the variable, such as NCCL_DEBUG. Credentials are refused: they belong in a credentialsSecret."""
    value: EnvText = ""
    """value of the variable."""


class ExtraVolume(ApiModel):
    """A volume that the pods read."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel("has(self.claimName) != has(self.configMapName)", "give either claimName or configMapName")
            ]
        }
    )

    mount_path: MountPath
    """mountPath in the container, such as /mnt/cache; it can only be read."""
    claim_name: ObjectName | None = None
    """claimName of a PersistentVolumeClaim in the namespace of the run."""
    config_map_name: ObjectName | None = None
    """configMapName of a ConfigMap in the namespace of the run, instead of a claim."""


class PodSettings(ApiModel):
    """What the pods of a run carry besides what KubeTune gives them."""

    service_account_name: ObjectName | None = None
    """serviceAccountName of the pods, for clouds that give rights by it. Its token for the Kubernetes API is not
    mounted. The namespace's default when absent."""
    image_pull_secrets: Annotated[
        list[PullSecret],
        Field(
            max_length=8,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []
    """imagePullSecrets with registry credentials, besides those that the platform gives to every pod."""
    labels: Annotated[dict[str, LabelValue], Field(max_length=32)] = Field(
        default_factory=dict, json_schema_extra={"default": {}}
    )
    """labels of the pods, such as a cost centre."""
    annotations: Annotated[dict[str, AnnotationText], Field(max_length=32)] = Field(
        default_factory=dict, json_schema_extra={"default": {}}
    )
    """annotations of the pods."""
    env: Annotated[
        list[EnvVariable],
        Field(
            max_length=64,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []
    """env: further environment variables of the container, without secrets."""
    volumes: Annotated[
        list[ExtraVolume],
        Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["mountPath"]},
        ),
    ] = []
    """volumes that the pods read besides those that uris name."""
    runtime_class_name: ObjectName | None = None
    """runtimeClassName of the pods, such as nvidia; the node's default when absent."""
