"""Tables against rows of a real kube-apiserver."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import compress
from typing import Any

import pytest

from kubetune_api.crdgen import KINDS, custom_resource_definition
from kubetune_local.apiserver import table
from kubetune_local.apiserver.printing.ages import human_duration
from kubetune_local.apiserver.printing.jsonpath import InvalidPath, find
from kubetune_local.apiserver.resources import Resource
from unit.local.discovery_widgets import golden, registry

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROWS = golden("table_golden.json")
VALUE = {"a": {"b": [{"type": "Ready", "n": 1}, {"type": "Other", "n": 3, "ok": True}], "x.y/z": "dotted"}, "e": []}


def resource(group: str, version: str, plural: str) -> Resource:
    found = registry().find(group, version, plural)
    assert found is not None
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['resource'][2]}-{row['object']['metadata']['name']}")
def test_prints_what_the_real_server_prints(row: dict[str, Any]) -> None:
    cells = table.cells(resource(*row["resource"]), row["object"], datetime.fromisoformat(row["now"]))
    assert cells == row["cells"]


def test_every_kind_that_can_be_listed_has_a_cell_for_each_column() -> None:
    shown = {tuple(row["resource"]) for row in ROWS}
    for each in registry():
        if "list" in each.verbs:
            assert (each.group, each.version, each.plural) in shown
    for row in ROWS:
        assert len(row["cells"]) == len(table.columns(resource(*row["resource"])))


def test_columns_of_a_custom_kind_start_with_the_name_and_keep_their_priority() -> None:
    columns = table.columns(resource("example.io", "v1", "widgets"))
    assert [column["name"] for column in columns[:4]] == ["Name", "Text", "Count", "Half"]
    assert columns[1]["description"] == "Some text."
    assert columns[2]["description"] == "Custom resource definition column (in JSONPath format): .spec.n"
    assert [column["priority"] for column in columns[:4]] == [0, 0, 0, 1]


def test_a_custom_kind_without_columns_shows_its_age() -> None:
    columns = table.columns(resource("example.io", "v1beta1", "widgets"))
    assert [(column["name"], column["type"]) for column in columns] == [("Name", "string"), ("Age", "date")]


@pytest.mark.parametrize(
    ("include", "carried"),
    [
        ("None", lambda obj: None),
        ("Object", lambda obj: obj),
        ("Metadata", lambda obj: partial(obj)),
        ("", lambda obj: partial(obj)),
    ],
)
def test_rows_carry_what_was_asked_for(include: str, carried: Callable[[Any], Any]) -> None:
    obj = {"metadata": {"name": "x", "creationTimestamp": "2026-01-02T03:04:00Z"}, "data": {"a": "b"}}
    shown = table.as_table(
        resource("", "v1", "configmaps"), [obj], list_meta={"resourceVersion": "7"}, include_object=include, now=NOW
    )
    assert shown["metadata"] == {"resourceVersion": "7"}
    assert shown["rows"] == [{"cells": ["x", 1, "5s"], "object": carried(obj)}]


def partial(obj: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def test_later_events_of_a_watch_repeat_no_columns() -> None:
    configmaps = resource("", "v1", "configmaps")
    shown = table.as_table(configmaps, [], list_meta={}, include_object="", now=NOW, headers=False)
    assert shown["columnDefinitions"] is None


def test_pods_that_have_ended_are_marked() -> None:
    obj = {"metadata": {"name": "x"}, "spec": {}, "status": {"phase": "Failed"}}
    shown = table.as_table(resource("", "v1", "pods"), [obj], list_meta={}, include_object="None", now=NOW)
    assert shown["rows"][0]["conditions"] == [
        {"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}
    ]


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(seconds=-5), "<invalid>"),
        (timedelta(seconds=-1), "0s"),
        (timedelta(seconds=119.9), "119s"),
        (timedelta(minutes=2), "2m"),
        (timedelta(minutes=9, seconds=59), "9m59s"),
        (timedelta(minutes=179, seconds=59), "179m"),
        (timedelta(hours=3), "3h"),
        (timedelta(hours=7, minutes=59), "7h59m"),
        (timedelta(hours=47, minutes=59), "47h"),
        (timedelta(days=2, hours=1), "2d1h"),
        (timedelta(days=8), "8d"),
        (timedelta(days=729), "729d"),
        (timedelta(days=731), "2y1d"),
        (timedelta(days=365 * 9), "9y"),
    ],
)
def test_writes_ages_as_kubectl_does(length: timedelta, text: str) -> None:
    assert human_duration(length.total_seconds()) == text


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".a.b[0].type", ["Ready"]),
        ("{.a.b[-1].type}", ["Other"]),
        ("$.a['b'][1].n", [3]),
        (".a.b[*].type", ["Ready", "Other"]),
        (".a.b[0:1].type", ["Ready"]),
        (".a.b[0,1].n", [1, 3]),
        (r".a.x\.y/z", ["dotted"]),
        (r".a['x\.y/z']", ["dotted"]),
        (".a['b','x\\.y/z']", [VALUE["a"]["b"], "dotted"]),  # type: ignore[index]
        ('.a.b[?(@.type=="Ready")].n', [1]),
        (".a.b[?(@.type!='Ready')].n", [3]),
        (".a.b[?(@.n>=3)].type", ["Other"]),
        (".a.b[?(@.n<3)].type", ["Ready"]),
        (".a.b[?(@.ok)].type", ["Other"]),
        (".a.b[?(@.ok==true)].type", ["Other"]),
        (".a.b[?(@.type>3)].type", []),
        ("..type", ["Ready", "Other"]),
        (".a.b[7]", []),
        (".a.nowhere.deeper", []),
        (".e[*]", []),
        (".", [VALUE]),
    ],
)
def test_finds_what_a_path_says(path: str, found: list[Any]) -> None:
    assert find(path, VALUE) == found


@pytest.mark.parametrize("path", [".a[", ".a[x]", ".a[?(@.n==what)]", ".a[]"])
def test_refuses_a_path_that_cannot_be_read(path: str) -> None:
    with pytest.raises(InvalidPath):
        find(path, VALUE)


def test_our_jobs_show_where_they_are_and_how_long_it_takes() -> None:
    (kind,) = [kind for kind in KINDS if kind.__name__ == "FineTuneJob"]
    version = custom_resource_definition(kind)["spec"]["versions"][0]
    progress = {"summary": "120/900", "loss": "1.92", "remaining": "14m"}
    obj = {
        "metadata": {"name": "support-bot", "creationTimestamp": "2026-01-02T02:04:05Z"},
        "status": {"phase": "Training", "progress": progress},
    }
    jobs = Resource("kubetune.io", "v1alpha1", "finetunejobs", "finetunejob", "FineTuneJob", True, [], custom=version)
    shown = table.as_table(jobs, [obj], list_meta={}, include_object="None", now=NOW)
    narrow = [column["priority"] == 0 for column in shown["columnDefinitions"]]
    names = [column["name"] for column in shown["columnDefinitions"]]
    assert list(compress(names, narrow)) == ["Name", "Phase", "Step", "Loss", "ETA", "Age"]
    cells = ["support-bot", "Training", "120/900", "1.92", "14m", "60m"]
    assert list(compress(shown["rows"][0]["cells"], narrow)) == cells
