"""Which strategy is whose."""

import functools

from kubetune_local.apiserver.kinds.core import (
    DataStrategy,
    EventStrategy,
    LimitedStrategy,
    NamespaceStrategy,
    NodeStrategy,
    ServiceStrategy,
)
from kubetune_local.apiserver.kinds.custom import CustomStrategy
from kubetune_local.apiserver.kinds.definitions import DefinitionStrategy
from kubetune_local.apiserver.kinds.jobs import CronJobStrategy, JobStrategy
from kubetune_local.apiserver.kinds.pods import PodStrategy
from kubetune_local.apiserver.kinds.strategy import AnyNameStrategy, Strategy
from kubetune_local.apiserver.kinds.volumes import ClaimStrategy, StorageClassStrategy, VolumeStrategy
from kubetune_local.apiserver.kinds.workloads import DisruptionBudgetStrategy, WorkloadStrategy
from kubetune_local.apiserver.resources import Resource
from kubetune_local.apiserver.storage.store import Collection

_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_NOT_ENFORCED = "the embedded cluster stores this kind but does not act on it"


@functools.cache
def _builtin() -> dict[Collection, Strategy]:
    limited = LimitedStrategy(_NOT_ENFORCED, generation=True)
    return {
        ("", "namespaces"): NamespaceStrategy(),
        ("", "nodes"): NodeStrategy(),
        ("", "configmaps"): DataStrategy("ConfigMap"),
        ("", "secrets"): DataStrategy("Secret"),
        ("", "services"): ServiceStrategy(),
        ("", "events"): EventStrategy(),
        ("", "pods"): PodStrategy(),
        ("", "persistentvolumeclaims"): ClaimStrategy(),
        ("", "persistentvolumes"): VolumeStrategy(),
        ("", "replicationcontrollers"): WorkloadStrategy("ReplicationController"),
        ("", "limitranges"): LimitedStrategy(_NOT_ENFORCED),
        ("", "resourcequotas"): LimitedStrategy(_NOT_ENFORCED),
        ("apps", "deployments"): WorkloadStrategy("Deployment"),
        ("apps", "replicasets"): WorkloadStrategy("ReplicaSet"),
        ("apps", "statefulsets"): WorkloadStrategy("StatefulSet"),
        ("apps", "daemonsets"): WorkloadStrategy("DaemonSet"),
        ("batch", "jobs"): JobStrategy(),
        ("batch", "cronjobs"): CronJobStrategy(),
        ("storage.k8s.io", "storageclasses"): StorageClassStrategy(),
        ("policy", "poddisruptionbudgets"): DisruptionBudgetStrategy(),
        ("apiextensions.k8s.io", "customresourcedefinitions"): DefinitionStrategy(),
        ("networking.k8s.io", "networkpolicies"): limited,
        ("networking.k8s.io", "ingresses"): limited,
        (_ADMISSION, "mutatingwebhookconfigurations"): limited,
        (_ADMISSION, "validatingwebhookconfigurations"): limited,
        (_ADMISSION, "validatingadmissionpolicies"): limited,
        (_ADMISSION, "validatingadmissionpolicybindings"): limited,
        **{
            (_RBAC, plural): AnyNameStrategy()
            for plural in ("roles", "rolebindings", "clusterroles", "clusterrolebindings")
        },
    }


_PLAIN = Strategy()


def strategy_of(resource: Resource) -> Strategy:
    """Return the strategy of a resource; kinds without one are merely stored."""
    if resource.custom is None:
        return _builtin().get(resource.collection, _PLAIN)
    if resource.strategy is None:
        resource.strategy = CustomStrategy(resource)
    assert isinstance(resource.strategy, Strategy)
    return resource.strategy
