"""Discovery documents: which groups, versions and resources there are, in the legacy and in the aggregated form."""

import base64
import hashlib
import re
from typing import Any
from weakref import WeakKeyDictionary

from kubetune_local.apiserver.resources import STATUS_VERBS, Registry, Resource

Obj = dict[str, Any]
Tree = dict[str, dict[str, list[Resource]]]

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_STABILITY = {"": 2, "beta": 1, "alpha": 0}
_cache: WeakKeyDictionary[Registry, tuple[int, dict[tuple[str, bool], Obj | None]]] = WeakKeyDictionary()


def document(registry: Registry, path: str, accept: str) -> Obj | None:
    """Return the discovery document at a path, or None when there is none.

    Args:
        registry: What is served.
        path: `/api`, `/api/v1`, `/apis`, `/apis/GROUP` or `/apis/GROUP/VERSION`, or `/`.
        accept: The Accept header; the first form in it that the server knows decides.
    """
    revision, documents = _cache.get(registry, (-1, {}))
    if revision != registry.revision:
        documents = {}
        _cache[registry] = (registry.revision, documents)
    key = (path.rstrip("/"), wants_aggregated(accept) and path.rstrip("/") in ("/api", "/apis"))
    if key not in documents:
        documents[key] = _document(registry, *key)
    return documents[key]


def content_type(body: Obj) -> str:
    """Return the media type that a discovery document is sent as."""
    return AGGREGATED if body.get("kind") == "APIGroupDiscoveryList" else "application/json"


def wants_aggregated(accept: str) -> bool:
    """Whether the client prefers the aggregated form (apidiscovery.k8s.io/v2)."""
    for media in accept.split(","):
        kind, *parameters = (part.strip() for part in media.split(";"))
        values = dict(parameter.split("=", 1) for parameter in parameters if "=" in parameter)
        if values.get("as") == "APIGroupDiscoveryList":
            if (kind, values.get("g"), values.get("v")) == ("application/json", "apidiscovery.k8s.io", "v2"):
                return True
        elif kind in ("application/json", "application/*", "*/*"):
            return False
    return False


def served(registry: Registry) -> Tree:
    """Group -> version -> resources: the server's own in its order, then custom ones by name, best version first."""
    tree = registry.versions()
    own = [group for group in tree if any(not item.custom for items in tree[group].values() for item in items)]
    order = [*own, *sorted(group for group in tree if group not in own)]
    return {
        group: {version: _in_order(tree[group][version]) for version in sorted(tree[group], key=priority, reverse=True)}
        for group in order
    }


def _in_order(resources: list[Resource]) -> list[Resource]:
    return sorted(resources, key=lambda item: (item.custom is not None, item.plural if item.custom else ""))


def priority(version: str) -> tuple[int, int, int, str]:
    """Order versions as Kubernetes does: v10, v2, v1, v2beta1, v1alpha1, then all other names backwards."""
    match = re.fullmatch(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?", version)
    if match is None:
        return (-1, 0, 0, "".join(chr(0x10FFFF - ord(char)) for char in version))
    return (_STABILITY[match[2] or ""], int(match[1]), int(match[3] or 0), "")


def _document(registry: Registry, path: str, aggregated: bool) -> Obj | None:
    tree = served(registry)
    core: Tree = {group: versions for group, versions in tree.items() if not group}
    named: Tree = {group: versions for group, versions in tree.items() if group}
    match path.split("/")[1:]:
        case []:
            return {"paths": _paths(tree)}
        case ["api"]:
            return _aggregated(core) if aggregated else _core_versions(core)
        case ["apis"]:
            return _aggregated(named) if aggregated else _groups(named)
        case ["api", version] if version in core.get("", ()):
            return _resources(core[""][version])
        case ["apis", group] if group in named:
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, list(named[group]))}
        case ["apis", group, version] if version in named.get(group, ()):
            return _resources(named[group][version])
    return None


def _paths(tree: Tree) -> list[str]:
    paths = {"/api", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"}
    for group, versions in tree.items():
        prefix = f"/apis/{group}" if group else "/api"
        paths |= {prefix, *(f"{prefix}/{version}" for version in versions)}
    return sorted(paths)


def _core_versions(core: Tree) -> Obj:
    return {"kind": "APIVersions", "versions": list(core.get("", ())), "serverAddressByClientCIDRs": []}


def _groups(named: Tree) -> Obj:
    groups = [_group(group, list(versions)) for group, versions in named.items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _group(group: str, versions: list[str]) -> Obj:
    entries = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": entries, "preferredVersion": entries[0]}


def _resources(resources: list[Resource]) -> Obj:
    group_version = resources[0].api_version
    head = {"kind": "APIResourceList"} | ({"apiVersion": "v1"} if resources[0].group else {})
    in_order = sorted(resources, key=lambda resource: resource.plural)
    return {
        **head,
        "groupVersion": group_version,
        "resources": [entry for each in in_order for entry in _entries(each)],
    }


def _entries(resource: Resource) -> list[Obj]:
    main = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": resource.verbs,
        "shortNames": resource.short_names,
        "categories": resource.categories,
        "storageVersionHash": storage_version_hash(resource),
    }
    entries = [{key: value for key, value in main.items() if value or key in ("namespaced", "singularName", "verbs")}]
    for subresource in _subresources(resource):
        kind = subresource["responseKind"]
        foreign = {key: kind[key] for key in ("group", "version") if kind[key] and kind["kind"] != resource.kind}
        entries.append(
            {
                "name": f"{resource.plural}/{subresource['subresource']}",
                "singularName": "",
                "namespaced": resource.namespaced,
                **foreign,
                "kind": kind["kind"],
                "verbs": subresource["verbs"],
            }
        )
    return entries


def storage_version_hash(resource: Resource) -> str:
    """Hash the version in which objects are stored; empty for resources that are never stored."""
    if "list" not in resource.verbs:
        return ""
    group = resource.collection[0]
    version = resource.storage_version or resource.version
    digest = hashlib.sha256(f"{group}/{version}/{resource.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def _subresources(resource: Resource) -> list[Obj]:
    """Subresources as aggregated discovery tells them; those of custom resources follow from their names."""
    if resource.custom is None:
        return list(resource.subresources.values())
    own = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    kinds = {"status": own, "scale": {"group": "autoscaling", "version": "v1", "kind": "Scale"}}
    return [
        {"subresource": name, "responseKind": kinds[name], "verbs": STATUS_VERBS}
        for name in ("status", "scale")
        if name in resource.subresources
    ]


def _aggregated(tree: Tree) -> Obj:
    items = []
    for group, versions in tree.items():
        entries = [
            {"version": version, "resources": [_aggregated_entry(item) for item in resources], "freshness": "Current"}
            for version, resources in versions.items()
        ]
        items.append({"metadata": {"name": group} if group else {}, "versions": entries})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _aggregated_entry(resource: Resource) -> Obj:
    gv = (resource.group, resource.version) if resource.custom else ("", "")
    entry = {
        "resource": resource.plural,
        "responseKind": {"group": gv[0], "version": gv[1], "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": resource.verbs,
        "shortNames": resource.short_names,
        "categories": resource.categories,
        "subresources": _subresources(resource),
    }
    return {key: value for key, value in entry.items() if value or key in ("verbs",)}
