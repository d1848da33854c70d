"""Regenerate `builtin.json`, the description of the built-in resources, from a running kube-apiserver.

    python -m kubetune_local.apiserver.builtin.extract --server https://127.0.0.1:6443 --token TOKEN

The file holds what the real server says about itself: discovery, OpenAPI v3 schemas and the columns of its tables.
Its texts are Kubernetes' own (Apache-2.0, The Kubernetes Authors).
"""

import argparse
import json
import ssl
import urllib.request
from pathlib import Path
from typing import Any

Obj = dict[str, Any]

TARGET = Path(__file__).with_name("builtin.json")
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
REFERENCE = "#/components/schemas/"

SERVED: dict[str, set[str]] = {
    "": {
        "bindings", "configmaps", "endpoints", "events", "limitranges", "namespaces", "nodes",
        "persistentvolumeclaims", "persistentvolumes", "pods", "replicationcontrollers", "resourcequotas", "secrets",
        "serviceaccounts", "services",
    },
    "admissionregistration.k8s.io": {
        "mutatingwebhookconfigurations", "validatingadmissionpolicies", "validatingadmissionpolicybindings",
        "validatingwebhookconfigurations",
    },
    "apiextensions.k8s.io": {"customresourcedefinitions"},
    "apps": {"controllerrevisions", "daemonsets", "deployments", "replicasets", "statefulsets"},
    "authentication.k8s.io": {"selfsubjectreviews"},
    "authorization.k8s.io": {
        "localsubjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews", "subjectaccessreviews",
    },
    "batch": {"cronjobs", "jobs"},
    "coordination.k8s.io": {"leases"},
    "discovery.k8s.io": {"endpointslices"},
    "events.k8s.io": {"events"},
    "networking.k8s.io": {"ingressclasses", "ingresses", "networkpolicies"},
    "node.k8s.io": {"runtimeclasses"},
    "policy": {"poddisruptionbudgets"},
    "rbac.authorization.k8s.io": {"clusterrolebindings", "clusterroles", "rolebindings", "roles"},
    "scheduling.k8s.io": {"priorityclasses"},
    "storage.k8s.io": {"csidrivers", "csinodes", "storageclasses"},
}  # fmt: skip
SUBRESOURCES = {"status", "scale", "log", "binding", "eviction", "finalize", "exec", "attach", "portforward"}


class Server:
    """GET requests to a kube-apiserver."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    def get(self, path: str, accept: str = "application/json") -> Any:
        """Return the decoded answer."""
        headers = {"Accept": accept, "Authorization": f"Bearer {self._token}"}
        request = urllib.request.Request(self._url + path, headers=headers)
        with urllib.request.urlopen(request, context=self._context, timeout=30) as answer:
            return json.load(answer)


def _references(node: Any) -> set[str]:
    if isinstance(node, dict):
        found = {node["$ref"].removeprefix(REFERENCE)} if isinstance(node.get("$ref"), str) else set()
        return found.union(*(_references(value) for value in node.values())) if node else found
    if isinstance(node, list):
        return set().union(*(_references(item) for item in node))
    return set()


def _served(group: str, resource: Obj) -> Obj | None:
    if resource["resource"] not in SERVED.get(group, ()):
        return None
    subresources = [item for item in resource.get("subresources", []) if item["subresource"] in SUBRESOURCES]
    return {**resource, "subresources": subresources}


def _columns(server: Server, prefix: str, resource: Obj) -> list[Obj]:
    if "list" not in resource["verbs"]:
        return []
    table = server.get(f"{prefix}/{resource['resource']}?limit=1", TABLE)
    return list(table["columnDefinitions"])


def extract(server: Server) -> Obj:
    """Return version, resources with their columns, and the schemas these resources need."""
    groups = [*server.get("/api", DISCOVERY)["items"], *server.get("/apis", DISCOVERY)["items"]]
    resources: list[Obj] = []
    schemas: Obj = {}
    for item in groups:
        group = item.get("metadata", {}).get("name", "")
        for version in item["versions"]:
            prefix = f"/apis/{group}/{version['version']}" if group else f"/api/{version['version']}"
            served = [found for found in (_served(group, each) for each in version["resources"]) if found]
            if not served:
                continue
            document = server.get(f"/openapi/v3{prefix}")["components"]["schemas"]
            schemas |= document
            for resource in served:
                columns = _columns(server, prefix, resource)
                resources.append({"group": group, "version": version["version"], **resource, "columns": columns})
    return {"version": server.get("/version"), "resources": resources, "schemas": _reachable(schemas, resources)}


def _reachable(schemas: Obj, resources: list[Obj]) -> Obj:
    kinds = {(item["group"], item["version"], item["responseKind"]["kind"]) for item in resources}
    extra = {"Eviction", "Binding", "Scale", "Status", "DeleteOptions"}
    wanted = set()
    for name, schema in schemas.items():
        for gvk in schema.get("x-kubernetes-group-version-kind", []):
            kind = gvk["kind"].removesuffix("List")
            if (gvk["group"], gvk["version"], kind) in kinds or kind in extra:
                wanted.add(name)
    todo = set(wanted)
    while todo:
        found = _references(schemas[todo.pop()]) - wanted
        wanted |= found
        todo |= found
    return {name: schemas[name] for name in sorted(wanted)}


def write(description: Obj, target: Path) -> None:
    """Write one schema and one resource a line, so that a new version shows as a readable difference."""
    compact: dict[str, Any] = {"separators": (",", ":"), "ensure_ascii": False}
    resources = ",\n".join(json.dumps(item, **compact) for item in description["resources"])
    schemas = ",\n".join(f"{json.dumps(name)}:{_compact(schema)}" for name, schema in description["schemas"].items())
    version = _compact(description["version"])
    text = f'{{"version":{version},\n"resources":[\n{resources}\n],\n"schemas":{{\n{schemas}\n}}}}\n'
    target.write_text(text, encoding="utf-8")


def _compact(document: Any) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def main() -> None:
    """Read the arguments, ask the server, write the file."""
    parser = argparse.ArgumentParser(description="Regenerate builtin.json from a running kube-apiserver.")
    parser.add_argument("--server", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--out", type=Path, default=TARGET)
    arguments = parser.parse_args()
    write(extract(Server(arguments.server, arguments.token)), arguments.out)


if __name__ == "__main__":
    main()
