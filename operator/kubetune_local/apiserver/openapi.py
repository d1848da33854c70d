"""OpenAPI v3 documents: an index, and for each group and version its schemas and paths.

kubectl reads schemas from them for `explain` and for strategic merge patches, and from the parameters of the PATCH
operation of a kind whether the server validates fields (`fieldValidation`) and can only try (`dryRun`).
"""

import hashlib
import json
from typing import Any
from weakref import WeakKeyDictionary

from kubetune_local.apiserver.builtin import description
from kubetune_local.apiserver.discovery import served
from kubetune_local.apiserver.resources import Registry, Resource
from kubetune_local.apiserver.schema.node import OBJECT_META, REFERENCE

Obj = dict[str, Any]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_CONVENTIONS = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
_TYPE_META = {
    "apiVersion": {
        "description": "APIVersion defines the versioned schema of this representation of an object. Servers should"
        " convert recognized schemas to the latest internal value, and may reject unrecognized values. More info:"
        f" {_CONVENTIONS}#resources",
        "type": "string",
    },
    "kind": {
        "description": "Kind is a string value representing the REST resource this object represents. Servers may"
        " infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info:"
        f" {_CONVENTIONS}#types-kinds",
        "type": "string",
    },
}
_EMBEDDED = {
    "apiVersion": {
        "description": "apiVersion defines the versioned schema of this representation of an object. More info:"
        f" {_CONVENTIONS}#resources",
        "type": "string",
    },
    "kind": {
        "description": "kind is a string value representing the type of this object. In CamelCase. More info:"
        f" {_CONVENTIONS}#types-kinds",
        "type": "string",
    },
}
_SCALE = "io.k8s.api.autoscaling.v1.Scale"
_PATCH_TYPES = ["apply-patch+yaml", "json-patch+json", "merge-patch+json", "strategic-merge-patch+json"]
_PATCH_SCHEMA = {
    "description": "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body.",
    "type": "object",
}
_WRITE = {"dryRun": "string", "fieldManager": "string", "fieldValidation": "string"}
_LIST = {
    "allowWatchBookmarks": "boolean", "continue": "string", "fieldSelector": "string", "labelSelector": "string",
    "limit": "integer", "resourceVersion": "string", "resourceVersionMatch": "string", "sendInitialEvents": "boolean",
    "timeoutSeconds": "integer", "watch": "boolean",
}  # fmt: skip
_DELETE = {
    "dryRun": "string", "gracePeriodSeconds": "integer", "orphanDependents": "boolean", "propagationPolicy": "string",
}  # fmt: skip
_METHODS: dict[str, tuple[str, dict[str, str]]] = {
    "get": ("get", {"resourceVersion": "string"}),
    "list": ("get", _LIST),
    "create": ("post", _WRITE),
    "update": ("put", _WRITE),
    "patch": ("patch", _WRITE | {"force": "boolean"}),
    "delete": ("delete", _DELETE),
    "deletecollection": ("delete", _LIST),
}
_ON_COLLECTION = ("list", "create", "deletecollection")

_cache: WeakKeyDictionary[Registry, tuple[int, dict[str, Obj]]] = WeakKeyDictionary()


def v3_index(registry: Registry) -> Obj:
    """Return the paths of all documents, with a hash of each that lets clients keep them."""
    return {
        "paths": {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={_digest(document)}"}
            for path, document in sorted(_documents(registry).items())
        }
    }


def v3_group(registry: Registry, path: str) -> Obj | None:
    """Return the document at `api/v1` or `apis/GROUP/VERSION` (also with `/openapi/v3/` before it), or None."""
    return _documents(registry).get(path.strip("/").removeprefix("openapi/v3/"))


def _documents(registry: Registry) -> dict[str, Obj]:
    revision, documents = _cache.get(registry, (-1, {}))
    if revision != registry.revision:
        documents = {
            f"apis/{group}/{version}" if group else f"api/{version}": _document(resources)
            for group, versions in served(registry).items()
            for version, resources in versions.items()
        }
        _cache[registry] = (registry.revision, documents)
    return documents


def _digest(document: Obj) -> str:
    return hashlib.sha512(json.dumps(document, sort_keys=True).encode()).hexdigest().upper()


def _document(resources: list[Resource]) -> Obj:
    schemas: Obj = {f"{_META}Patch": _PATCH_SCHEMA}
    paths: Obj = {}
    for resource in resources:
        paths |= _paths(resource)
        schemas |= _custom_schemas(resource) if resource.custom else {}
    _add_references(schemas, [*schemas.values(), *paths.values()])
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "1.36"},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def _add_references(schemas: Obj, roots: list[Any]) -> None:
    """Add the built-in schemas that are referred to, at any depth."""
    known = description()["schemas"]
    todo = set().union(*(_references(root) for root in roots)) - set(schemas)
    while todo:
        name = todo.pop()
        schemas[name] = known[name]
        todo |= _references(known[name]) - set(schemas)


def _references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"].removeprefix(REFERENCE)} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(_references(child) for child in node.values()))
    return set().union(*(_references(child) for child in node)) if isinstance(node, list) else set()


def schema_name(resource: Resource) -> str:
    """Return the name of a kind's schema: `io.kubetune.v1alpha1.FineTuneJob`."""
    if resource.custom is None:
        return resource.schema_name
    return ".".join([*reversed(resource.group.split(".")), resource.version, resource.kind])


def _custom_schemas(resource: Resource) -> Obj:
    """Schemas of a custom kind and of its list, as the API extensions server publishes them."""
    name = schema_name(resource)
    schema = (resource.custom or {}).get("schema", {}).get("openAPIV3Schema", {})
    own = _published(schema) | {"properties": _published(schema).get("properties", {}) | _object_fields()}
    own["x-kubernetes-group-version-kind"] = [_gvk(resource, resource.kind)]
    items = {
        "description": f"List of {resource.plural}. More info: {_CONVENTIONS}",
        "type": "array",
        "items": {"$ref": REFERENCE + name},
    }
    metadata = _reference(f"{_META}ListMeta", f"Standard list metadata. More info: {_CONVENTIONS}#types-kinds")
    kind = resource.list_kind or f"{resource.kind}List"
    of_list = {
        "description": f"{kind} is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {**_TYPE_META, "metadata": metadata, "items": items},
        "x-kubernetes-group-version-kind": [_gvk(resource, kind)],
    }
    return {name: own, _list_name(resource): of_list}


def _list_name(resource: Resource) -> str:
    return f"{schema_name(resource).removesuffix(resource.kind)}{resource.list_kind or f'{resource.kind}List'}"


def _object_fields() -> Obj:
    metadata = _reference(OBJECT_META, f"Standard object's metadata. More info: {_CONVENTIONS}#metadata")
    return {**_TYPE_META, "metadata": metadata}


def _reference(name: str, text: str) -> Obj:
    return {"description": text, "allOf": [{"$ref": REFERENCE + name}]}


def _published(schema: Any) -> Any:
    """Say of each integer-or-string which types it has, and give embedded resources their own three fields."""
    if isinstance(schema, list):
        return [_published(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    shown = {
        key: {name: _published(child) for name, child in value.items()} if key == "properties" else _published(value)
        for key, value in schema.items()
        if key not in ("default", "enum", "example")
    }
    shown |= {key: schema[key] for key in ("default", "enum", "example") if key in schema}
    if shown.get("x-kubernetes-int-or-string") is True and not shown.keys() & {"anyOf", "allOf"}:
        shown["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if shown.get("x-kubernetes-embedded-resource") is True:
        shown["properties"] = shown.get("properties", {}) | _object_fields() | _EMBEDDED
        shown["required"] = ["kind", "apiVersion", *shown.get("required", [])]
    return shown


def _gvk(resource: Resource, kind: str) -> Obj:
    return {"group": resource.group, "version": resource.version, "kind": kind}


def _paths(resource: Resource) -> Obj:
    group = f"/apis/{resource.group}" if resource.group else "/api"
    scope = "/namespaces/{namespace}" if resource.namespaced else ""
    base = f"{group}/{resource.version}{scope}/{resource.plural}"
    paths = {base: _operations(resource, [verb for verb in _ON_COLLECTION if verb in resource.verbs])}
    if resource.namespaced and "list" in resource.verbs:
        paths[f"{group}/{resource.version}/{resource.plural}"] = _operations(resource, ["list"])
    on_item = [verb for verb in _METHODS if verb not in _ON_COLLECTION and verb in resource.verbs]
    if on_item:
        paths[f"{base}/{{name}}"] = _operations(resource, on_item)
    for subresource in ("status", "scale"):
        if subresource in resource.subresources:
            paths[f"{base}/{{name}}/{subresource}"] = _operations(resource, ["get", "update", "patch"], subresource)
    return {path: _path_parameters(path) | operations for path, operations in paths.items()}


def _path_parameters(path: str) -> Obj:
    names = [name for name in ("name", "namespace") if f"{{{name}}}" in path]
    schema = {"type": "string", "uniqueItems": True}
    return {"parameters": [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]}


def _operations(resource: Resource, verbs: list[str], subresource: str = "") -> Obj:
    return {_METHODS[verb][0]: _operation(resource, verb, subresource) for verb in verbs}


def _operation(resource: Resource, verb: str, subresource: str) -> Obj:
    method, parameters = _METHODS[verb]
    name, gvk = schema_name(resource), _gvk(resource, resource.kind)
    if subresource == "scale":
        name, gvk = _SCALE, {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    result = {"list": _list_name(resource), "delete": f"{_META}Status", "deletecollection": f"{_META}Status"}
    operation: Obj = {
        "description": f"{verb} {subresource or resource.kind}",
        "parameters": [
            {"name": key, "in": "query", "schema": {"type": kind, "uniqueItems": True}}
            for key, kind in parameters.items()
        ],
        "responses": {
            "200": {"description": "OK", "content": {"application/json": _schema_of(result.get(verb, name))}},
            "401": {"description": "Unauthorized"},
        },
        "x-kubernetes-action": verb if verb in ("list", "deletecollection") else method,
        "x-kubernetes-group-version-kind": gvk,
    }
    body = _request_body(resource, verb, name)
    return operation | ({"requestBody": body} if body else {})


def _request_body(resource: Resource, verb: str, name: str) -> Obj | None:
    if verb in ("create", "update"):
        return {"content": {"application/json": _schema_of(name)}, "required": True}
    if verb == "delete":
        return {"content": {"application/json": _schema_of(f"{_META}DeleteOptions")}}
    if verb == "patch":
        types = _PATCH_TYPES[:3] if resource.custom else _PATCH_TYPES
        content = {f"application/{media}": _schema_of(f"{_META}Patch") for media in types}
        return {"content": content, "required": True}
    return None


def _schema_of(name: str) -> Obj:
    return {"schema": {"$ref": REFERENCE + name}}
