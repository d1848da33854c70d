"""The platform team's policy: what runs may ask for, where they may read, and how much each namespace gets at a time.

One YAML document, closed: a rule that is misspelt is an error, never a rule that is not applied. What is absent is not
limited. The document is read anew while the operator runs (see policy_file.py); runs that were accepted are left alone.
"""

from fnmatch import fnmatchcase
from typing import Annotated, Any

import yaml
from pydantic import Field, StringConstraints

from kubetune_api.fields import ApiModel, Quantity

Text = Annotated[str, StringConstraints(min_length=1, max_length=253)]
Texts = Annotated[list[Text], Field(max_length=256)]


class AcceleratorPolicy(ApiModel):
    """Accelerators that a run may ask for."""

    max_per_run: int | None = Field(default=None, ge=0)
    """maxPerRun: accelerators of all its pods together."""
    products: Texts | None = None
    """products that may be named, as node labels say them, `*` for anything; a run must name one of them."""
    resource_names: Texts | None = None
    """resourceNames that may be used, such as nvidia.com/gpu."""


class UriPolicy(ApiModel):
    """Places that models and data may come from."""

    schemes: Texts | None = None
    """schemes such as hf, s3, pvc or https."""
    prefixes: Texts | None = None
    """prefixes, one of which a uri must begin with whole steps of: s3://team-bucket, hf://our-org. A scheme alone,
    pvc://, allows all of it."""


class WorkspacePolicy(ApiModel):
    """Volumes that are made for runs."""

    max_size: Quantity | None = None
    """maxSize of a workspace, such as 500Gi."""
    storage_classes: Texts | None = None
    """storageClasses that may be named; the default one is always allowed."""


class NamespaceLimit(ApiModel):
    """What the runs of a namespace may use; the first entry that fits a namespace counts."""

    namespaces: Annotated[list[Text], Field(min_length=1, max_length=256)]
    """namespaces by name or pattern: team-a, research-*, `*`."""
    concurrent_runs: int | None = Field(default=None, ge=0)
    """concurrentRuns that are not finished or suspended; further ones wait in the order of their creation."""
    concurrent_accelerators: int | None = Field(default=None, ge=0)
    """concurrentAccelerators of these runs together."""
    accelerator_hours: int | None = Field(default=None, ge=0)
    """acceleratorHours that the runs of the namespace may have used over `days`; further ones wait."""
    days: int = Field(default=30, ge=1, le=365)
    """days back from now over which acceleratorHours are added up; runs that were deleted are not seen."""


class Policy(ApiModel):
    """What the platform team allows."""

    contact: Annotated[str, StringConstraints(max_length=256)] = ""
    """contact: whom to ask for more; stands at the end of every refusal."""
    accelerators: AcceleratorPolicy = AcceleratorPolicy()
    """accelerators that a run may ask for."""
    max_nodes: int | None = Field(default=None, ge=1)
    """maxNodes that a run may spread over."""
    uris: UriPolicy = UriPolicy()
    """uris that models and data may come from."""
    workspace: WorkspacePolicy = WorkspacePolicy()
    """workspace: volumes that are made for runs."""
    priority_classes: Texts | None = None
    """priorityClasses that may be named."""
    queues: Texts | None = None
    """queues of Kueue that may be named."""
    require_queue: bool = False
    """requireQueue: whether every run must name a queue."""
    service_accounts: Texts | None = None
    """serviceAccounts that pods may run as; the namespace's default is always allowed."""
    runtime_classes: Texts | None = None
    """runtimeClasses that may be named."""
    limits: Annotated[list[NamespaceLimit], Field(max_length=256)] = []
    """limits of namespaces; runs beyond them wait."""

    def limit_of(self, namespace: str) -> NamespaceLimit | None:
        """Return the limits of a namespace; None when there are none."""
        for limit in self.limits:
            if any(fnmatchcase(namespace, pattern) for pattern in limit.namespaces):
                return limit
        return None


def parse_policy(text: str) -> Policy:
    """Return the policy of a document.

    Raises:
        ValueError: it is no YAML, or not a policy.
    """
    try:
        document: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"no YAML: {error}") from error
    return Policy.model_validate({} if document is None else document)
