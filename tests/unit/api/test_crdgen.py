"""The definitions: generated, structural, bounded, documented."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubetune_api.crdgen import KINDS, custom_resource_definition, manifest, object_schema, structural
from kubetune_api.fields import cel
from kubetune_api.finetunejob import FineTuneJob
from kubetune_api.kind import KubeObject
from kubetune_local.apiserver.schema.node import compile_structural
from kubetune_local.apiserver.schema.structural import default

CRDS = Path(__file__).parents[3] / "crds"
Schema = dict[str, Any]


def fields(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield every node below spec and status with its path."""
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from fields(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield f"{path}[]", schema[key]
            yield from fields(schema[key], f"{path}[]")


def every_field() -> Iterator[tuple[str, Schema]]:
    """Yield every field of both kinds."""
    for kind in KINDS:
        for part in ("spec", "status"):
            root = object_schema(kind)["properties"][part]
            yield from ((f"{kind.__name__}.{part}{path}", node) for path, node in fields(root))


@pytest.mark.parametrize("kind", KINDS)
def test_committed_definition_is_the_generated_one(kind: type[KubeObject]) -> None:
    plural = custom_resource_definition(kind)["spec"]["names"]["plural"]
    assert (CRDS / f"{plural}.yaml").read_text() == manifest(kind), "run `make generate`"


@pytest.mark.parametrize("kind", KINDS)
def test_yaml_reads_back_as_the_definition(kind: type[KubeObject]) -> None:
    read = yaml.safe_load(manifest(kind))
    expected = custom_resource_definition(kind)
    assert read["spec"]["names"] == expected["spec"]["names"]
    assert read["spec"]["versions"] == expected["spec"]["versions"]


def test_schema_is_structural() -> None:
    for path, node in every_field():
        assert not {"$ref", "anyOf", "oneOf", "allOf", "title", "const", "definitions"} & set(node), path
        assert "type" in node or node.get("x-kubernetes-int-or-string"), path
        assert node.get("type") != "number", path
        assert node.get("additionalProperties") is not False, path
        assert node.get("default", ...) is not None, path


def test_every_list_map_and_text_has_a_bound() -> None:
    for path, node in every_field():
        if node.get("type") == "array":
            assert "maxItems" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path
        if node.get("type") == "string" or node.get("x-kubernetes-int-or-string"):
            assert "maxLength" in node or "enum" in node, path


def test_every_number_of_spec_has_both_ends() -> None:
    for path, node in every_field():
        if node.get("type") == "integer" and ".spec." in path:
            assert {"minimum", "maximum"} <= set(node), path


def test_every_field_says_what_it_is_and_starts_with_its_name() -> None:
    for path, node in every_field():
        if path.endswith("[]"):
            continue
        name, text = path.rpartition(".")[2], node.get("description", "")
        assert text.endswith("."), f"{path}: {text!r} is no sentence"
        assert re.match(rf"{name}\b", text), f"{path}: {text!r} starts with another name"
        assert len(text.split()) > 2, f"{path}: {text!r} says nothing"


def test_defaults_of_the_schema_are_those_of_the_models() -> None:
    spec = {"model": {"uri": "hf://a/b"}, "dataset": {"train": [{"uri": "pvc://data/x.jsonl"}]}}
    stored = {"apiVersion": "kubetune.io/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "a"}, "spec": spec}
    default(compile_structural(object_schema(FineTuneJob)), stored)
    read = FineTuneJob.model_validate(stored)
    assert read.spec.dump() == stored["spec"]
    bare = {"model": {"uri": "hf://a/b"}, "dataset": {"train": [{"uri": "pvc://data/x.jsonl"}]}}
    assert FineTuneJob.model_validate({**stored, "spec": bare}).spec == read.spec


def test_columns_of_a_job_answer_how_far_it_is() -> None:
    version = custom_resource_definition(FineTuneJob)["spec"]["versions"][0]
    always = [column["name"] for column in version["additionalPrinterColumns"] if not column.get("priority")]
    assert always == ["Phase", "Step", "Loss", "ETA", "Age"]


@pytest.mark.parametrize("kind", KINDS)
def test_columns_name_fields_that_exist(kind: type[KubeObject]) -> None:
    definition = custom_resource_definition(kind)["spec"]
    schema = object_schema(kind)["properties"]
    for column in definition["versions"][0]["additionalPrinterColumns"]:
        steps = re.sub(r"\[.*?\]", "[]", column["jsonPath"]).strip(".").split(".")
        node = schema[steps[0]]
        for step in steps[1:]:
            if steps[0] == "metadata":
                break
            node = node["properties"][step.removesuffix("[]")]
            node = node.get("items", node)


@pytest.mark.parametrize("kind", KINDS)
def test_kind_is_found_by_short_name_and_category(kind: type[KubeObject]) -> None:
    definition = custom_resource_definition(kind)["spec"]
    assert definition["names"]["shortNames"] == [{"FineTuneJob": "ftj", "EvalRun": "evr"}[kind.__name__]]
    assert definition["names"]["categories"] == ["kubetune", "ai"]
    assert definition["versions"][0]["subresources"] == {"status": {}}


def test_only_three_fields_of_a_spec_may_change() -> None:
    for kind in KINDS:
        spec = object_schema(kind)["properties"]["spec"]
        mutable = {
            name
            for name, child in spec["properties"].items()
            if not any(rule["rule"] == "self == oldSelf" for rule in child.get("x-kubernetes-validations", []))
        }
        assert mutable == {"suspend", "ttlSecondsAfterFinished", "retries"}


def test_refuses_a_float() -> None:
    with pytest.raises(ValueError, match="floats are not allowed"):
        structural({"type": "number"}, {})


def test_refuses_a_union() -> None:
    with pytest.raises(ValueError, match="no unions"):
        structural({"anyOf": [{"type": "string"}, {"type": "integer"}]}, {})


def test_optional_field_is_the_field_itself() -> None:
    node = {"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}], "default": None, "title": "X"}
    assert structural(node, {}) == {"type": "string", "maxLength": 5}


def test_rule_without_a_path_has_none() -> None:
    assert cel("self.a", "no a") == {"rule": "self.a", "message": "no a"}
