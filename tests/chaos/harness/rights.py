"""The operator with exactly the rights that the chart gives it, in a cluster that enforces them."""

from __future__ import annotations

from typing import Any

from kubetune_local.client import NAMESPACES, SERVICE_ACCOUNTS, ApiError, KubeClient, Resource

JSON = dict[str, Any]
_RBAC = "rbac.authorization.k8s.io"
CLUSTER_ROLES = Resource(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
ROLES = Resource(_RBAC, "v1", "roles", "Role")
ROLE_BINDINGS = Resource(_RBAC, "v1", "rolebindings", "RoleBinding")
_KINDS = {each.kind: each for each in (SERVICE_ACCOUNTS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS)}


class Rights:
    """The chart's service account and roles in the cluster."""

    def __init__(self, client: KubeClient) -> None:
        from chart.rendering import NAMESPACE, objects

        self._client = client
        self._namespace = NAMESPACE
        self._objects = [each for each in objects() if each["kind"] in _KINDS]
        (self._account,) = [each["metadata"]["name"] for each in self._objects if each["kind"] == "ServiceAccount"]
        (self._binding,) = [each for each in self._objects if each["kind"] == "ClusterRoleBinding"]
        self.role: str = self._binding["roleRef"]["name"]

    async def install(self) -> str:
        """Bring them into the cluster; return a token of the operator's account."""
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self._namespace}}
        await self._make(NAMESPACES, space)
        for each in self._objects:
            await self._make(_KINDS[each["kind"]], each, each["metadata"].get("namespace"))
        order = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 7200}}
        made = await self._client.create(SERVICE_ACCOUNTS, order, self._namespace, "token", self._account)
        return str(made["status"]["token"])

    async def revoke(self) -> None:
        """Take every right away."""
        await self._client.delete(CLUSTER_ROLE_BINDINGS, self._binding["metadata"]["name"])

    async def restore(self) -> None:
        """Give everything back."""
        for each in self._objects:
            resource, meta = _KINDS[each["kind"]], each["metadata"]
            await self._make(resource, each, meta.get("namespace"))
            if each["kind"] == "ClusterRole":
                await self._client.patch(resource, meta["name"], {"rules": each["rules"]})

    async def forbid(self, resource: str, verb: str) -> None:
        """Take one verb on one resource away."""
        role = next(each for each in self._objects if each["kind"] == "ClusterRole" and _name(each) == self.role)
        rules = []
        for rule in role["rules"]:
            rest = [each for each in rule["resources"] if each != resource]
            rules += [{**rule, "resources": rest}] if rest else []
            if resource in rule["resources"]:
                verbs = [each for each in rule["verbs"] if each != verb]
                rules.append({**rule, "resources": [resource], "verbs": verbs})
        await self._client.patch(CLUSTER_ROLES, self.role, {"rules": rules})

    async def _make(self, resource: Resource, body: JSON, namespace: str | None = None) -> None:
        try:
            await self._client.create(resource, body, namespace)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise


def _name(obj: JSON) -> str:
    return str(obj["metadata"]["name"])
