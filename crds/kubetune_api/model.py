"""The `model` and `dataset` sources, used by jobs, evaluations and run files alike."""

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from .fields import ApiModel, Name, Uri, cel

Revision = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$", max_length=40)]


class SecretReference(ApiModel):
    """A Secret of the same namespace; its keys become environment variables of the pod."""

    name: Name
    """name of the Secret in the namespace of the run."""


class ModelSource(ApiModel):
    """Where a model comes from."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    "!self.trustRemoteCode || has(self.revision)",
                    "trustRemoteCode runs code of the repository: pin the revision to a 40-digit commit",
                    ".revision",
                )
            ]
        }
    )

    uri: Uri
    """uri of the model: hf://org/name on a model hub, pvc://claim/path on a PersistentVolumeClaim of this namespace,
    s3://bucket/path, gs://bucket/path or https://, or file:///path where the platform allows it. A file that ends in
    .gguf is de-quantised and read as a model like any other."""
    revision: Revision | None = None
    """revision pins an hf:// repository to a commit of 40 hex digits; its newest one is taken, and written to
    status.lineage, when absent. Required when trustRemoteCode is true."""
    trust_remote_code: bool = False
    """trustRemoteCode lets the repository's own Python run in the trainer. Off by default."""
    credentials_secret: SecretReference | None = None
    """credentialsSecret names the Secret whose keys (HF_TOKEN, AWS_ACCESS_KEY_ID, ...) the pod gets as environment."""


class DataSource(ApiModel):
    """One file or folder of data."""

    uri: Uri
    """uri of a .jsonl, .csv or .parquet file, or of a folder of them: pvc://claim/path, s3://bucket/path, or hf://org/name
    for a dataset repository."""
    split: Annotated[str, StringConstraints(max_length=63)] | None = None
    """split to read of a dataset repository that has several; train when absent."""
    credentials_secret: SecretReference | None = None
    """credentialsSecret names the Secret whose keys the pod gets as environment."""


Sources = Annotated[list[DataSource], Field(min_length=1, max_length=16)]
