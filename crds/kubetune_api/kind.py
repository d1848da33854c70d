"""What the two kinds share: object metadata, and the facts that crdgen needs besides the schema."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from .fields import ApiModel

Column = tuple[str, str, str, str, int]
"""(name, type, jsonPath, description, priority)"""


class ObjectMeta(BaseModel):
    """The part of Kubernetes metadata that KubeTune reads; the rest is kept as it is."""

    model_config = ConfigDict(extra="allow")

    name: str = ""
    namespace: str = "default"


class KubeObject(ApiModel):
    """A namespaced custom resource."""

    api_version: str = "kubetune.io/v1alpha1"
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()


def kind_schema(
    *, plural: str, short_names: list[str], mutable: tuple[str, ...], columns: list[Column]
) -> dict[str, Any]:
    """Return the `json_schema_extra` of a kind; crdgen takes it out again and makes the CRD of it."""
    return {"x-kubetune-kind": {"plural": plural, "shortNames": short_names, "mutable": mutable, "columns": columns}}
