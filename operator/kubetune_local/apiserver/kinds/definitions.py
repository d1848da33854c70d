"""CustomResourceDefinitions: checked, accepted at once, and what they make the server serve."""

import re
from typing import Any

from kubetune_local.apiserver.cluster import Cluster, Request
from kubetune_local.apiserver.errors import FieldError, invalid_value, required, unsupported
from kubetune_local.apiserver.kinds.strategy import Strategy, immutable, put_default
from kubetune_local.apiserver.names import label_problems, service_problems, subdomain_problems
from kubetune_local.apiserver.resources import ALL_VERBS, STATUS_VERBS, Resource
from kubetune_local.apiserver.schema.definition import schema_errors

Obj = dict[str, Any]
_VERSION = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")


class DefinitionStrategy(Strategy):
    """`apiextensions.k8s.io/v1` CustomResourceDefinition."""

    generation = True

    def default(self, obj: Obj) -> None:
        """Derive the names that are not told."""
        spec = obj.setdefault("spec", {})
        names = spec.setdefault("names", {})
        kind = names.get("kind", "")
        put_default(names, singular=kind.lower(), listKind=f"{kind}List")
        spec.setdefault("conversion", {}).setdefault("strategy", "None")

    def prepare_create(self, cluster: Cluster, request: Request, obj: Obj) -> None:
        """Accept the names at once: there is no other controller that would."""
        stored = [version["name"] for version in obj["spec"].get("versions", ()) if version.get("storage")]
        obj["status"] = _status(cluster, obj, stored)

    def prepare_update(self, cluster: Cluster, request: Request, obj: Obj, old: Obj) -> None:
        """Keep the conditions; remember each version that objects were stored in."""
        if request.subresource:
            return
        stored = list(old.get("status", {}).get("storedVersions", []))
        stored += [
            version["name"]
            for version in obj["spec"].get("versions", ())
            if version.get("storage") and version["name"] not in stored
        ]
        obj["status"] = {**old.get("status", {}), "storedVersions": stored, "acceptedNames": dict(obj["spec"]["names"])}

    def validate(self, cluster: Cluster, obj: Obj) -> list[FieldError]:
        """Check names, versions and schemas."""
        spec = obj["spec"]
        names, group = spec["names"], spec.get("group", "")
        errors = []
        wanted = f"{names.get('plural', '')}.{group}"
        if (name := obj["metadata"].get("name")) != wanted:
            errors.append(invalid_value("metadata.name", name, f'must be spec.names.plural+"."+spec.group, {wanted}'))
        if not group:
            errors.append(required("spec.group"))
        errors += [invalid_value("spec.group", group, problem) for problem in subdomain_problems(group) if group]
        if spec.get("scope") not in ("Cluster", "Namespaced"):
            errors.append(unsupported("spec.scope", spec.get("scope", ""), ["Cluster", "Namespaced"]))
        errors += _name_errors(names) + _version_errors(spec)
        if spec["conversion"]["strategy"] != "None":
            detail = "conversion webhooks are not supported by the embedded cluster; use the strategy None"
            errors.append(invalid_value("spec.conversion.strategy", spec["conversion"]["strategy"], detail))
        return errors

    def validate_update(self, cluster: Cluster, obj: Obj, old: Obj) -> list[FieldError]:
        """What objects are called and where they live never changes."""
        paths = ("spec.group", "spec.scope", "spec.names.kind", "spec.names.plural")
        return [error for path in paths for error in immutable(obj, old, path)]

    def content(self, cluster: Cluster, obj: Obj) -> list[Resource]:
        """Return the resource whose objects go before the definition does."""
        found = cluster.registry.by_collection((obj["spec"]["group"], obj["spec"]["names"]["plural"]))
        return [found] if found is not None else []

    def on_terminating(self, cluster: Cluster, obj: Obj) -> None:
        """Wait for the objects, and say so."""
        condition = {
            "type": "Terminating", "status": "True", "lastTransitionTime": cluster.now(),
            "reason": "InstanceDeletionInProgress", "message": "CustomResource deletion is in progress",
        }  # fmt: skip
        obj["status"].setdefault("conditions", []).append(condition)

    def stored(self, cluster: Cluster, obj: Obj) -> None:
        """Serve what is defined, in place of what was."""
        spec = obj["spec"]
        served = resources_of(obj)
        before = cluster.registry.remove(spec["group"], spec["names"]["plural"])
        for resource in served:
            cluster.registry.add(resource)
        if {item.version for item in before} - {item.version for item in served}:
            cluster.store.drop((spec["group"], spec["names"]["plural"]))

    def removed(self, cluster: Cluster, obj: Obj) -> None:
        """Serve it no longer; watches end."""
        collection = (obj["spec"]["group"], obj["spec"]["names"]["plural"])
        cluster.registry.remove(*collection)
        cluster.store.drop(collection)


def _status(cluster: Cluster, obj: Obj, stored: list[str]) -> Obj:
    accepted = [
        ("NamesAccepted", "NoConflicts", "no conflicts found"),
        ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    ]
    moment = cluster.now()
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": moment, "reason": reason, "message": message}
        for kind, reason, message in accepted
    ]
    return {"conditions": conditions, "acceptedNames": dict(obj["spec"]["names"]), "storedVersions": stored}


def _name_errors(names: Obj) -> list[FieldError]:
    errors = []
    for field in ("plural", "singular", "kind", "listKind"):
        value = names.get(field, "")
        if not value:
            errors.append(required(f"spec.names.{field}"))
            continue
        checked = value.lower() if field in ("kind", "listKind") else value
        errors += [invalid_value(f"spec.names.{field}", value, problem) for problem in service_problems(checked)]
    for field in ("shortNames", "categories"):
        for index, value in enumerate(names.get(field, ())):
            where = f"spec.names.{field}[{index}]"
            errors += [invalid_value(where, value, problem) for problem in label_problems(value)]
    return errors


def _version_errors(spec: Obj) -> list[FieldError]:
    versions = spec.get("versions", [])
    if not versions:
        return [required("spec.versions", "must have at least one version")]
    errors: list[FieldError] = []
    if sum(bool(version.get("storage")) for version in versions) != 1:
        names = [version.get("name") for version in versions]
        errors.append(invalid_value("spec.versions", names, "must have exactly one version marked as storage version"))
    for index, version in enumerate(versions):
        here = f"spec.versions[{index}]"
        if not _VERSION.match(version.get("name", "")):
            errors.append(invalid_value(f"{here}.name", version.get("name", ""), "must be a DNS-1035 label"))
        schema = version.get("schema", {}).get("openAPIV3Schema")
        if schema is None:
            errors.append(required(f"{here}.schema.openAPIV3Schema", "schemas are required"))
        else:
            errors += schema_errors(schema, f"{here}.schema.openAPIV3Schema")
    return errors


def resources_of(definition: Obj) -> list[Resource]:
    """Return the resources that a definition makes the server serve, one a version."""
    spec = definition["spec"]
    names = spec["names"]
    storage = next(version["name"] for version in spec["versions"] if version.get("storage"))
    return [
        Resource(
            group=spec["group"],
            version=version["name"],
            plural=names["plural"],
            singular=names["singular"],
            kind=names["kind"],
            namespaced=spec["scope"] == "Namespaced",
            verbs=list(ALL_VERBS),
            short_names=names.get("shortNames", []),
            categories=names.get("categories", []),
            subresources={
                name: {"subresource": name, "verbs": STATUS_VERBS} for name in version.get("subresources", {})
            },
            custom=version,
            list_kind=names["listKind"],
            storage_version=storage,
        )
        for version in spec["versions"]
        if version.get("served")
    ]
