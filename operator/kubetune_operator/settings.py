"""What an operator may be told: defaults, then the file named by KUBETUNE_SETTINGS, then KUBETUNE_* variables."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from kubetune_api import __version__
from kubetune_api.resources import Toleration

from .policy import parse_policy

PREFIX = "KUBETUNE_"
FILE_VARIABLE = "KUBETUNE_SETTINGS"


def _words(value: Any) -> Any:
    return shlex.split(value) if isinstance(value, str) else value


def _names(value: Any) -> Any:
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def _document(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


Words = Annotated[list[str], BeforeValidator(_words)]
Names = Annotated[list[str], BeforeValidator(_names)]


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} is no mapping of settings to values")
    return found


def _check_policy(path: Path) -> None:
    try:
        parse_policy(path.read_text())
    except ValueError as error:
        raise ValueError(f"the policy in {path} is not valid: {error}") from error


class Settings(BaseModel):
    """Settings of an operator; each field is also the variable KUBETUNE_<FIELD IN CAPITALS>."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    trainer_image: str = f"ghcr.io/kubetune/trainer:{__version__}"
    """Image of the pods."""
    image_pull_policy: str = Field(default="IfNotPresent", pattern="^(Always|IfNotPresent|Never)$")
    image_pull_secrets: Names = []
    """Names of Secrets with registry credentials, separated by commas."""
    trainer_command: Words = ["python", "-m", "kubetune_trainer"]
    """Command of the pods, quoted as in a shell; the path of the run file is added."""
    trainer_env: Annotated[dict[str, str], BeforeValidator(_document)] = {}
    """Further environment of the pods as a JSON object, for example {"HF_HUB_OFFLINE": "1"}."""
    run_as_user: int = Field(default=65532, ge=1)
    """User and group of the pods; never root."""
    termination_grace_seconds: int = Field(default=300, ge=1)
    """Time that a stopped trainer has for its checkpoint."""
    tolerations: Annotated[list[Toleration], BeforeValidator(_document)] = []
    """Tolerations of every pod besides those of the job, as a JSON list."""

    storage_class_name: str | None = None
    """Storage class of workspaces that name none; the cluster's default when absent."""
    access_mode: str = Field(default="ReadWriteOnce", pattern="^(ReadWriteOnce|ReadWriteMany|ReadWriteOncePod)$")
    """Access mode of workspaces."""
    allow_file_uris: bool = False
    """Allow file:// sources: the pods see the files of the operator's machine (embedded cluster only)."""
    max_disruptions: int = Field(default=50, ge=0)
    """Evictions, pre-emptions and checkpointed exits that a run may see before it counts as failed."""
    node_lost_grace_seconds: float = Field(default=120, ge=0)
    """Time after which a pod that does not end, on a node that does not answer, is given up for one elsewhere."""
    hopeless_after_seconds: float = Field(default=3600, ge=0)
    """Time that people have to mend what waiting cannot, such as an image that does not exist; then the run ends."""

    policy: str = ""
    """Path of the platform's policy, see docs/policy.md; read anew when it changes. Empty allows everything."""
    namespaces: Names = []
    """Namespaces to work in, separated by commas; all of them when empty."""
    leader_election: bool = True
    """Agree with other replicas, through a Lease, which one writes; switch it off only where there is but one."""
    lease_name: str = Field(default="kubetune-operator", min_length=1)
    """Name of the Lease; replicas with the same one work together."""
    lease_namespace: str = ""
    """Namespace of the Lease; the operator's own when empty, and `default` outside of a cluster."""
    replica_name: str = ""
    """What this replica calls itself in the Lease; the name of its host, which is that of its pod, when empty."""
    writes_per_second: float = Field(default=300, gt=0)
    """Writes to the API server a second, after a burst of twice as many; renewals of the Lease do not count."""
    workers: int = Field(default=10, ge=1, le=100)
    """Objects that are reconciled at the same time."""
    resync_seconds: float = Field(default=600, gt=0)
    """Interval of the full LIST that finds what watches missed."""
    progress_interval_seconds: float = Field(default=30, gt=0)
    """Interval at which the log of a running pod is read and progress is written."""
    waiting_interval_seconds: float = Field(default=5, gt=0)
    """Interval at which the reason for waiting is looked up again."""
    http_bind: str = "0.0.0.0:8080"
    """Address of /metrics, /healthz and /readyz; port 0 takes a free one, empty switches them off."""
    log_format: str = Field(default="text", pattern="^(text|json)$")
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> "Settings":
        """Return the settings of an environment.

        Raises:
            ValueError: a value is not valid, or the file has a field that is no setting.
            OSError: the file cannot be read.
        """
        values: dict[str, Any] = {}
        if path := environ.get(FILE_VARIABLE):
            values |= _read(Path(path))
        for name in cls.model_fields:
            if (text := environ.get(PREFIX + name.upper())) is not None:
                values[name] = text
        settings = cls(**values)
        if settings.policy:
            _check_policy(Path(settings.policy))
        return settings
