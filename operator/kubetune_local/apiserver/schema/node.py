"""Compiled schemas: one `Node` for each place of a value, from OpenAPI v3 as CRDs and the built-in kinds write it."""

import re
from functools import cache
from typing import Any

from kubetune_local.apiserver.builtin import description

Obj = dict[str, Any]
REFERENCE = "#/components/schemas/"
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_ANY = {
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
}
NO_DEFAULT: Any = object()


class Node:
    """What may stand at one place. `struct` names the Go type of a built-in kind; custom resources have none."""

    __slots__ = (
        "additional",
        "deep_default",
        "default",
        "description",
        "embedded",
        "enum",
        "format",
        "int_or_string",
        "items",
        "kind",
        "limits",
        "list_type",
        "map_keys",
        "merge_key",
        "nullable",
        "pattern",
        "preserve",
        "properties",
        "raw",
        "required",
        "rules",
        "strategy",
        "struct",
    )  # fmt: skip

    def __init__(self) -> None:
        self.kind = ""
        self.properties: dict[str, Node] = {}
        self.additional: Node | None = None
        self.items: Node | None = None
        self.required: tuple[str, ...] = ()
        self.default: Any = NO_DEFAULT
        self.deep_default = False
        self.nullable = False
        self.preserve = False
        self.int_or_string = False
        self.embedded = False
        self.format = ""
        self.enum: list[Any] | None = None
        self.pattern: tuple[str, re.Pattern[str]] | None = None
        self.limits: dict[str, Any] = {}
        self.list_type = ""
        self.map_keys: tuple[str, ...] = ()
        self.merge_key = ""
        self.strategy: frozenset[str] = frozenset()
        self.rules: list[Obj] = []
        self.struct = ""
        self.description = ""
        self.raw: Obj = {}

    @property
    def is_map(self) -> bool:
        """An object whose keys are data, not fields."""
        return self.additional is not None

    @property
    def is_any(self) -> bool:
        """Any JSON may stand here."""
        return self.preserve and not self.properties and self.additional is None


_LIMITS = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
    "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "allOf", "anyOf", "oneOf", "not",
)  # fmt: skip


def _fill(node: Node, schema: Obj) -> None:
    node.raw = schema
    node.kind = schema.get("type", "")
    node.format = schema.get("format", "")
    node.nullable = bool(schema.get("nullable"))
    node.preserve = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    node.int_or_string = bool(schema.get("x-kubernetes-int-or-string"))
    node.embedded = bool(schema.get("x-kubernetes-embedded-resource"))
    node.list_type = schema.get("x-kubernetes-list-type", "")
    node.map_keys = tuple(schema.get("x-kubernetes-list-map-keys", ()))
    node.merge_key = schema.get("x-kubernetes-patch-merge-key", "")
    node.strategy = frozenset(filter(None, schema.get("x-kubernetes-patch-strategy", "").split(",")))
    node.required = tuple(schema.get("required", ()))
    node.enum = schema.get("enum")
    node.description = schema.get("description", "")
    node.limits = {name: schema[name] for name in _LIMITS if name in schema}


def compile_structural(schema: Obj) -> Node:
    """Compile the structural schema of a custom resource."""
    node = Node()
    _fill(node, schema)
    if "default" in schema:
        node.default = schema["default"]
    if "pattern" in schema:
        node.pattern = (schema["pattern"], re.compile(_python_pattern(schema["pattern"])))
    node.rules = list(schema.get("x-kubernetes-validations") or ())
    node.properties = {name: compile_structural(child) for name, child in (schema.get("properties") or {}).items()}
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        node.additional = compile_structural(additional)
    elif additional is True:
        node.additional = Node()
        node.additional.preserve = True
    if isinstance(schema.get("items"), dict):
        node.items = compile_structural(schema["items"])
    node.deep_default = _has_defaults(node)
    return node


def _has_defaults(node: Node) -> bool:
    children = [*node.properties.values(), *filter(None, (node.additional, node.items))]
    return any(child.default is not NO_DEFAULT or child.deep_default for child in children)


def _python_pattern(pattern: str) -> str:
    """Go's RE2 and Python differ in one thing that matters here: `$` and `\\z` mean the end, not before a newline."""
    return re.sub(r"(?<!\\)\$", r"\\Z", pattern).replace(r"\z", r"\Z")


@cache
def builtin(name: str) -> Node:
    """Compile the schema of a built-in type by its OpenAPI name; recursive types are fine."""
    node = _OPEN.get(name)
    if node is None:
        node = _OPEN[name] = Node()
        node.struct = name.rsplit(".", 1)[-1]
        schema = description()["schemas"][name]
        _fill(node, schema)
        if name in _ANY:
            node.preserve = True
        elif name == _QUANTITY:
            node.kind, node.format = "quantity", "quantity"
        elif name == _INT_OR_STRING:
            node.int_or_string = True
        else:
            _children(node, schema)
    return node


_OPEN: dict[str, Node] = {}


def _children(node: Node, schema: Obj) -> None:
    node.properties = {key: _builtin_child(child) for key, child in (schema.get("properties") or {}).items()}
    if isinstance(schema.get("additionalProperties"), dict):
        node.additional = _builtin_child(schema["additionalProperties"])
    if isinstance(schema.get("items"), dict):
        node.items = _builtin_child(schema["items"])


def _builtin_child(schema: Obj) -> Node:
    reference = schema.get("$ref") or next((part.get("$ref") for part in schema.get("allOf", ())), None)
    if reference is not None:
        return builtin(reference.removeprefix(REFERENCE))
    node = Node()
    _fill(node, schema)
    _children(node, schema)
    if not node.kind and not node.properties and node.items is None:
        node.preserve = True
    return node
