"""Tables: what the server prints of objects when a client asks for `as=Table`, as `kubectl get` does."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from kubetune_local.apiserver.printing import core, custom, others, pods, workloads
from kubetune_local.apiserver.resources import Resource

Obj = dict[str, Any]
Row = Callable[[Obj, datetime], list[Any]]

_ROWS: dict[tuple[str, str], Row] = {
    ("", "configmaps"): core.config_map,
    ("", "endpoints"): core.endpoints,
    ("", "events"): core.event,
    ("", "limitranges"): others.created_at,
    ("", "namespaces"): core.namespace,
    ("", "nodes"): core.node,
    ("", "persistentvolumeclaims"): core.persistent_volume_claim,
    ("", "persistentvolumes"): core.persistent_volume,
    ("", "pods"): pods.pod,
    ("", "replicationcontrollers"): workloads.replication_controller,
    ("", "resourcequotas"): core.resource_quota,
    ("", "secrets"): core.secret,
    ("", "serviceaccounts"): others.only_age,
    ("", "services"): core.service,
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"): others.webhooks,
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"): others.admission_policy,
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"): others.admission_binding,
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"): others.webhooks,
    ("apiextensions.k8s.io", "customresourcedefinitions"): others.created_at,
    ("apps", "controllerrevisions"): workloads.controller_revision,
    ("apps", "daemonsets"): workloads.daemon_set,
    ("apps", "deployments"): workloads.deployment,
    ("apps", "replicasets"): workloads.replica_set,
    ("apps", "statefulsets"): workloads.stateful_set,
    ("batch", "cronjobs"): workloads.cron_job,
    ("batch", "jobs"): workloads.job,
    ("coordination.k8s.io", "leases"): others.lease,
    ("discovery.k8s.io", "endpointslices"): others.endpoint_slice,
    ("events.k8s.io", "events"): core.event,
    ("networking.k8s.io", "ingressclasses"): others.ingress_class,
    ("networking.k8s.io", "ingresses"): others.ingress,
    ("networking.k8s.io", "networkpolicies"): others.network_policy,
    ("node.k8s.io", "runtimeclasses"): others.runtime_class,
    ("policy", "poddisruptionbudgets"): others.disruption_budget,
    ("rbac.authorization.k8s.io", "clusterrolebindings"): others.role_binding,
    ("rbac.authorization.k8s.io", "clusterroles"): others.created_at,
    ("rbac.authorization.k8s.io", "rolebindings"): others.role_binding,
    ("rbac.authorization.k8s.io", "roles"): others.created_at,
    ("scheduling.k8s.io", "priorityclasses"): others.priority_class,
    ("storage.k8s.io", "csidrivers"): others.csi_driver,
    ("storage.k8s.io", "csinodes"): others.csi_node,
    ("storage.k8s.io", "storageclasses"): others.storage_class,
}


def as_table(
    resource: Resource,
    objects: Iterable[Obj],
    *,
    list_meta: Obj,
    include_object: str,
    now: datetime,
    headers: bool = True,
) -> Obj:
    """Return a `meta.k8s.io/v1` Table.

    Args:
        resource: The kind of the objects.
        objects: What becomes rows.
        list_meta: Metadata of the list, or `{"resourceVersion": ...}` of a single object.
        include_object: `None`, `Metadata` (also when empty) or `Object`: what each row carries besides its cells.
        now: The present, for ages.
        headers: Whether the columns are told; a watch tells them with its first event only.
    """
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list_meta,
        "columnDefinitions": columns(resource) if headers else None,
        "rows": [_row(resource, obj, include_object, now) for obj in objects],
    }


def columns(resource: Resource) -> list[Obj]:
    """Return the column definitions of a kind."""
    return custom.columns(resource.custom) if resource.custom is not None else resource.columns


def cells(resource: Resource, obj: Obj, now: datetime) -> list[Any]:
    """Return the cells of one object, the wide ones included; clients choose by the priority of the column."""
    if resource.custom is not None:
        return custom.cells(resource.custom, obj, now)
    return _ROWS[resource.group, resource.plural](obj, now)


def _row(resource: Resource, obj: Obj, include_object: str, now: datetime) -> Obj:
    row: Obj = {"cells": cells(resource, obj, now)}
    conditions = pods.row_conditions(obj) if (resource.group, resource.plural) == ("", "pods") else []
    if conditions:
        row["conditions"] = conditions
    return {**row, "object": _carried(obj, include_object)}


def _carried(obj: Obj, include_object: str) -> Obj | None:
    if include_object == "None":
        return None
    if include_object == "Object":
        return obj
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
