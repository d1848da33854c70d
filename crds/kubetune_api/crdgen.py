"""Makes the CRD manifests out of the pydantic models: `python -m kubetune_api.crdgen [folder]`.

The API server wants *structural* schemas (KEP-1111): no `$ref`, no `anyOf` with null, a type at every node,
no `additionalProperties: false`. Everything else (bounds, enums, defaults, CEL) passes through.
"""

import re
import sys
from pathlib import Path
from typing import Any

import yaml

from . import GROUP, VERSION
from .evalrun import EvalRun
from .finetunejob import FineTuneJob
from .kind import KubeObject

Schema = dict[str, Any]
KINDS: tuple[type[KubeObject], ...] = (FineTuneJob, EvalRun)
#: Text that Go's YAML readers take for a number or a boolean although PyYAML writes it without quotes.
_AMBIGUOUS = re.compile(r"[yYnN]|[-+]?[0-9.]+([eE][-+]?[0-9]+)?")
_DROPPED = ("title", "discriminator", "additionalProperties", "$defs", "x-kubetune-kind")


def structural(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Return the structural form of a pydantic JSON schema node.

    Raises:
        ValueError: the node is a union that a structural schema cannot say, or a float.
    """
    node = dict(schema)
    if "$ref" in node:
        target = definitions[node.pop("$ref").rpartition("/")[2]]
        node = {**target, **node}
    if "allOf" in node and len(node["allOf"]) == 1:
        node = {**node, **node.pop("allOf")[0]}
        return structural(node, definitions)
    if "anyOf" in node:
        return structural(_without_null(node), definitions)
    extra = node.get("additionalProperties")
    out = {key: value for key, value in node.items() if key not in _DROPPED}
    if "description" in out:
        out["description"] = " ".join(out["description"].split())
    if out.get("default", ...) is None:
        del out["default"]
    if out.get("type") == "number":
        raise ValueError(f"floats are not allowed in the API: {schema}")
    if isinstance(extra, dict):
        out["additionalProperties"] = structural(extra, definitions)
        out["maxProperties"] = out.pop("maxProperties", 64)
    if "const" in out:
        out["enum"] = [out.pop("const")]
    if "items" in out:
        out["items"] = structural(out["items"], definitions)
    if "properties" in out:
        out["properties"] = {name: structural(child, definitions) for name, child in out["properties"].items()}
    if out.get("type") == "integer":
        out.setdefault("format", "int64")
    if isinstance(out.get("default"), dict):
        out["default"] = _filled(out["default"], out)
    return _ordered(out)


def _filled(value: Schema, schema: Schema) -> Schema:
    """Return the default `value` with the defaults inside it: the API server judges a default before it fills it."""
    inner = {name: child["default"] for name, child in schema.get("properties", {}).items() if "default" in child}
    return {**inner, **value}


def _without_null(node: Schema) -> Schema:
    branches = [branch for branch in node["anyOf"] if branch.get("type") != "null"]
    if len(branches) != 1:
        raise ValueError(f"a structural schema has no unions: {node}")
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    return {**branches[0], **rest}


def _ordered(node: Schema) -> Schema:
    first = ("description", "type", "default", "enum")
    return {key: node[key] for key in first if key in node} | {k: v for k, v in node.items() if k not in first}


def _immutability(spec: Schema, mutable: tuple[str, ...]) -> None:
    """Add transition rules: every field of spec but the mutable ones keeps its value and its absence."""
    rules = []
    for name, child in spec["properties"].items():
        if name in mutable:
            continue
        rule = {"rule": "self == oldSelf", "message": f"{name} is immutable: delete the object and create a new one"}
        child["x-kubernetes-validations"] = [*child.get("x-kubernetes-validations", []), rule]
        if name not in spec.get("required", []) and "default" not in child:
            rules.append(
                {
                    "rule": f"has(self.{name}) == has(oldSelf.{name})",
                    "message": f"{name} cannot be added or removed: delete the object and create a new one",
                }
            )
    spec["x-kubernetes-validations"] = [*spec.get("x-kubernetes-validations", []), *rules]


def object_schema(kind: type[KubeObject]) -> Schema:
    """Return the `openAPIV3Schema` of a kind."""
    raw = kind.model_json_schema(by_alias=True, mode="validation")
    definitions = raw.get("$defs", {})
    spec = structural(raw["properties"]["spec"], definitions)
    _immutability(spec, raw["x-kubetune-kind"]["mutable"])
    return {
        "description": raw["description"],
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "apiVersion of this document."},
            "kind": {"type": "string", "description": "kind of this document."},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": structural(_without_null(raw["properties"]["status"]), definitions),
        },
    }


def custom_resource_definition(kind: type[KubeObject]) -> Schema:
    """Return the CustomResourceDefinition of a kind."""
    facts = kind.model_json_schema(by_alias=True)["x-kubetune-kind"]
    singular = kind.__name__.lower()
    columns = [
        {"name": name, "type": type_, "jsonPath": path, "description": text} | ({"priority": rank} if rank else {})
        for name, type_, path, text, rank in facts["columns"]
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{facts['plural']}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.__name__,
                "listKind": f"{kind.__name__}List",
                "plural": facts["plural"],
                "singular": singular,
                "shortNames": list(facts["shortNames"]),
                "categories": ["kubetune", "ai"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": object_schema(kind)},
                }
            ],
        },
    }


class _Plain(yaml.SafeDumper):
    """YAML without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def quoted(self, data: str) -> yaml.ScalarNode:
        """Return text as a node, in quotes where another reader would see no text."""
        style = '"' if _AMBIGUOUS.fullmatch(data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Plain.add_representer(str, _Plain.quoted)


def manifest(kind: type[KubeObject]) -> str:
    """Return the CRD of a kind as YAML."""
    text: str = yaml.dump(custom_resource_definition(kind), Dumper=_Plain, sort_keys=False, width=120)
    return f"# Generated by `python -m kubetune_api.crdgen`; change the models in crds/kubetune_api instead.\n{text}"


def main() -> None:
    """Write `<plural>.yaml` of every kind into the folder given (default: crds)."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "crds")
    for kind in KINDS:
        plural = kind.model_json_schema()["x-kubetune-kind"]["plural"]
        (folder / f"{plural}.yaml").write_text(manifest(kind))


if __name__ == "__main__":
    main()
