"""Create, update, patch, apply, delete and watch, on a cluster in memory."""

import asyncio
from typing import Any

import pytest

from kubetune_local.apiserver.errors import StatusError
from kubetune_local.apiserver.verbs.create import create
from kubetune_local.apiserver.verbs.delete import Options, delete
from kubetune_local.apiserver.verbs.patch import APPLY, JSON_PATCH, MERGE, STRATEGIC, patch
from kubetune_local.apiserver.verbs.read import list_objects
from kubetune_local.apiserver.verbs.subresources import bind
from kubetune_local.apiserver.verbs.update import update
from kubetune_local.apiserver.verbs.watch import INITIAL_EVENTS_END, Change, Watch

Obj = dict[str, Any]
CRDS = "customresourcedefinitions.v1.apiextensions.k8s.io"
WIDGETS = "widgets.v1.example.com"


def config_map(name: str = "cm", **data: str) -> Obj:
    return {"metadata": {"name": name}, "data": data}


def pod(name: str = "p", **metadata: Any) -> Obj:
    return {"metadata": {"name": name, **metadata}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def widgets() -> Obj:
    spec = {
        "type": "object",
        "properties": {"size": {"type": "integer", "maximum": 9}, "color": {"type": "string", "default": "red"}},
    }
    status = {"type": "object", "properties": {"ready": {"type": "boolean"}}}
    root = {"type": "object", "properties": {"spec": spec, "status": status}}
    version = {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}}
    version["schema"] = {"openAPIV3Schema": root}
    names = {"plural": "widgets", "kind": "Widget"}
    return {
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]},
    }


def test_create_sets_what_only_the_server_sets(world: Any) -> None:
    made = world.create("configmaps", {"metadata": {"generateName": "cm-", "uid": "x"}, "data": {"a": "b"}})
    assert made["metadata"]["name"].startswith("cm-")
    assert made["metadata"]["uid"] != "x"
    assert made["metadata"]["managedFields"][0]["fieldsV1"]["f:data"] == {".": {}, "f:a": {}}


def test_create_refuses_a_taken_name_and_a_missing_namespace(world: Any) -> None:
    world.create("configmaps", config_map())
    with pytest.raises(StatusError) as taken:
        world.create("configmaps", config_map())
    assert (taken.value.code, taken.value.message) == (409, 'configmaps "cm" already exists')
    delete(world.cluster, world.request("configmaps", "cm"), Options())
    request = world.request("configmaps")
    request.namespace = "nowhere"
    with pytest.raises(StatusError) as missing:
        create(world.cluster, request, config_map())
    assert missing.value.message == 'namespaces "nowhere" not found'


def test_strict_validation_names_the_unknown_field_and_warn_warns(world: Any) -> None:
    with pytest.raises(StatusError) as strict:
        world.create("configmaps", config_map() | {"dta": {}}, fieldValidation="Strict")
    assert strict.value.message.endswith('strict decoding error: unknown field "dta"')
    request = world.request("configmaps")
    create(world.cluster, request, config_map() | {"dta": {}})
    assert request.warnings == ['unknown field "dta"']


def test_dry_run_stores_nothing(world: Any) -> None:
    world.create("configmaps", config_map(), dryRun="All")
    assert not list_objects(world.cluster, world.request("configmaps")).items


def test_update_with_a_stale_version_conflicts(world: Any) -> None:
    made = world.create("configmaps", config_map(a="1"))
    request = world.request("configmaps", "cm")
    update(world.cluster, request, {**made, "data": {"a": "2"}})
    with pytest.raises(StatusError) as stale:
        update(world.cluster, request, {**made, "data": {"a": "3"}})
    assert stale.value.code == 409
    assert "the object has been modified" in stale.value.message


def test_an_update_that_changes_nothing_keeps_the_version(world: Any) -> None:
    made = world.create("configmaps", config_map(a="1"))
    again = update(world.cluster, world.request("configmaps", "cm"), made)
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_status_is_written_by_its_subresource_only(world: Any) -> None:
    world.create(CRDS, widgets())
    made = world.create(WIDGETS, {"metadata": {"name": "w"}, "spec": {"size": 1}, "status": {"ready": True}})
    assert "status" not in made
    assert made["spec"]["color"] == "red"
    body = {"spec": {"size": 2}, "status": {"ready": True}}
    after, _ = patch(world.cluster, world.request(WIDGETS, "w", "status"), MERGE, body)
    assert (after["spec"]["size"], after["status"], after["metadata"]["generation"]) == (1, {"ready": True}, 1)
    after, _ = patch(world.cluster, world.request(WIDGETS, "w"), MERGE, {"spec": {"size": 2}, "status": None})
    assert (after["status"], after["metadata"]["generation"]) == ({"ready": True}, 2)


def test_custom_resources_are_checked_and_know_no_strategic_patch(world: Any) -> None:
    world.create(CRDS, widgets())
    with pytest.raises(StatusError) as large:
        world.create(WIDGETS, {"metadata": {"name": "w"}, "spec": {"size": 10}})
    assert large.value.code == 422
    assert "should be less than or equal to 9" in large.value.message
    world.create(WIDGETS, {"metadata": {"name": "w"}})
    with pytest.raises(StatusError) as media:
        patch(world.cluster, world.request(WIDGETS, "w"), STRATEGIC, {})
    assert media.value.code == 415


def test_a_definition_without_type_or_storage_version_is_refused(world: Any) -> None:
    body = widgets()
    body["spec"]["versions"][0]["storage"] = False
    del body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["type"]
    with pytest.raises(StatusError) as refusal:
        world.create(CRDS, body)
    assert "must have exactly one version marked as storage version" in refusal.value.message
    assert "must not be empty for specified object fields" in refusal.value.message


def test_a_definition_goes_when_its_last_object_loses_its_finalizer(world: Any) -> None:
    world.create(CRDS, widgets())
    world.create(WIDGETS, {"metadata": {"name": "w", "finalizers": ["example.com/wait"]}})
    _, gone = delete(world.cluster, world.request(CRDS, "widgets.example.com"), Options())
    assert not gone
    patch(world.cluster, world.request(WIDGETS, "w"), MERGE, {"metadata": {"finalizers": None}})
    assert world.cluster.registry.find("example.com", "v1", "widgets") is None
    assert not list_objects(world.cluster, world.request(CRDS)).items


def test_strategic_patch_merges_containers_by_name(world: Any) -> None:
    world.create("pods", pod())
    body = {"spec": {"containers": [{"name": "c", "image": "new"}]}, "metadata": {"labels": {"a": "b"}}}
    after, _ = patch(world.cluster, world.request("pods", "p"), STRATEGIC, body)
    assert after["spec"]["containers"][0]["image"] == "new"
    assert after["spec"]["containers"][0]["terminationMessagePath"] == "/dev/termination-log"


def test_json_patch_tests_before_it_changes(world: Any) -> None:
    world.create("configmaps", config_map(a="1"))
    request = world.request("configmaps", "cm")
    after, _ = patch(world.cluster, request, JSON_PATCH, [{"op": "replace", "path": "/data/a", "value": "2"}])
    assert after["data"] == {"a": "2"}
    with pytest.raises(StatusError) as failed:
        patch(world.cluster, request, JSON_PATCH, [{"op": "test", "path": "/data/a", "value": "1"}])
    assert failed.value.code == 422


def applied(world: Any, manager: str, data: dict[str, str], **query: str) -> Obj:
    body = {"apiVersion": "v1", "kind": "ConfigMap", **config_map(**data)}
    request = world.request("configmaps", "cm", manager=manager, fieldManager=manager, **query)
    obj: Obj = patch(world.cluster, request, APPLY, body)[0]
    return obj


def test_apply_conflicts_with_another_manager_unless_forced(world: Any) -> None:
    applied(world, "one", {"a": "1"})
    with pytest.raises(StatusError) as conflict:
        applied(world, "two", {"a": "2"})
    assert conflict.value.message == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    assert conflict.value.details == {
        "causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.a"}]
    }
    after = applied(world, "two", {"a": "2"}, force="true")
    assert after["data"] == {"a": "2"}
    assert [entry["manager"] for entry in after["metadata"]["managedFields"]] == ["two"]


def test_apply_removes_what_its_manager_gives_up_and_nobody_else_owns(world: Any) -> None:
    applied(world, "one", {"a": "1", "b": "1", "c": "1"})
    applied(world, "two", {"c": "1"})
    after = applied(world, "one", {"a": "1"})
    assert after["data"] == {"a": "1", "c": "1"}


def test_an_update_takes_the_field_it_changes_from_its_applier(world: Any) -> None:
    applied(world, "one", {"a": "1", "b": "1"})
    after, _ = patch(world.cluster, world.request("configmaps", "cm"), MERGE, {"data": {"a": "2"}})
    owned = {entry["manager"]: entry["fieldsV1"] for entry in after["metadata"]["managedFields"]}
    assert owned == {"one": {"f:data": {"f:b": {}}}, "test": {"f:data": {"f:a": {}}}}


def test_a_finalizer_holds_a_deleted_object(world: Any) -> None:
    world.create("configmaps", {"metadata": {"name": "cm", "finalizers": ["example.com/wait"]}})
    held, gone = delete(world.cluster, world.request("configmaps", "cm"), Options())
    assert not gone
    assert "deletionTimestamp" in held["metadata"]
    patch(world.cluster, world.request("configmaps", "cm"), MERGE, {"metadata": {"finalizers": None}})
    assert not list_objects(world.cluster, world.request("configmaps")).items


def test_foreground_deletion_waits_and_a_wrong_uid_is_refused(world: Any) -> None:
    world.create("configmaps", config_map())
    with pytest.raises(StatusError) as wrong:
        delete(world.cluster, world.request("configmaps", "cm"), Options(uid="other"))
    assert wrong.value.code == 409
    held, gone = delete(world.cluster, world.request("configmaps", "cm"), Options(policy="Foreground"))
    assert (held["metadata"]["finalizers"], gone) == (["foregroundDeletion"], False)


def test_a_pod_on_a_node_ends_when_the_kubelet_says_so(world: Any) -> None:
    world.create("pods", pod())
    bind(world.cluster, world.request("pods", "p", "binding"), {"target": {"name": "n"}})
    held, gone = delete(world.cluster, world.request("pods", "p"), Options())
    assert (held["metadata"]["deletionGracePeriodSeconds"], gone) == (30, False)
    _, gone = delete(world.cluster, world.request("pods", "p"), Options(grace=0))
    assert gone


def test_a_bound_pod_cannot_be_bound_again(world: Any) -> None:
    world.create("pods", pod())
    bind(world.cluster, world.request("pods", "p", "binding"), {"target": {"name": "n"}})
    with pytest.raises(StatusError) as again:
        bind(world.cluster, world.request("pods", "p", "binding"), {"target": {"name": "m"}})
    assert again.value.message.endswith('pod p is already assigned to node "n"')


def test_a_namespace_ends_with_its_finalizer(world: Any) -> None:
    world.create("namespaces", {"metadata": {"name": "foo"}})
    held, gone = delete(world.cluster, world.request("namespaces", "foo"), Options())
    assert (held["status"]["phase"], gone) == ("Terminating", False)
    update(world.cluster, world.request("namespaces", "foo", "finalize"), {**held, "spec": {}})
    assert world.cluster.store.get(("", "namespaces"), "", "foo") is None


def test_pages_are_of_one_moment(world: Any) -> None:
    for name in "abc":
        world.create("configmaps", config_map(name))
    first = list_objects(world.cluster, world.request("configmaps", limit="2"))
    assert first.meta["remainingItemCount"] == 1
    world.create("configmaps", config_map("d"))
    rest = list_objects(world.cluster, world.request("configmaps", **{"continue": first.cursor, "limit": "2"}))
    assert [item.name for item in rest.items] == ["c"]
    assert rest.version == first.version


def test_selectors_choose_and_unknown_fields_are_refused(world: Any) -> None:
    world.create("pods", pod("a", labels={"x": "1"}))
    world.create("pods", pod("b"))
    found = list_objects(world.cluster, world.request("pods", labelSelector="x in (1,2)"))
    assert [item.name for item in found.items] == ["a"]
    found = list_objects(world.cluster, world.request("pods", fieldSelector="metadata.name!=a,status.phase=Pending"))
    assert [item.name for item in found.items] == ["b"]
    with pytest.raises(StatusError, match="field label not supported: foo"):
        list_objects(world.cluster, world.request("pods", fieldSelector="foo=bar"))


async def take(watch: Watch, count: int) -> list[Change]:
    found: list[Change] = []
    async with asyncio.timeout(5):
        async for batch in watch.changes():
            found += batch
            if len(found) >= count:
                break
    return found


async def test_a_watch_shows_what_leaves_the_selection_as_deleted(world: Any) -> None:
    world.create("configmaps", {"metadata": {"name": "cm", "labels": {"a": "b"}}})
    watch = Watch(world.cluster, world.request("configmaps", labelSelector="a=b"))
    patch(world.cluster, world.request("configmaps", "cm"), MERGE, {"metadata": {"labels": {"a": "c"}}})
    assert [change.type for change in await take(watch, 2)] == ["ADDED", "DELETED"]


async def test_a_streaming_list_ends_with_a_bookmark(world: Any) -> None:
    world.create("configmaps", config_map())
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    added, bookmark = await take(Watch(world.cluster, world.request("configmaps", **query)), 2)
    assert (added.type, bookmark.type) == ("ADDED", "BOOKMARK")
    assert bookmark.obj is not None
    assert bookmark.obj["metadata"]["annotations"] == {INITIAL_EVENTS_END: "true"}


async def test_a_watch_from_before_the_history_is_told_so(world: Any) -> None:
    world.create("configmaps", config_map())
    world.cluster.store.compact()
    (error,) = await take(Watch(world.cluster, world.request("configmaps", resourceVersion="2")), 1)
    assert error.type == "ERROR"
    assert error.obj is not None
    assert (error.obj["code"], error.obj["reason"]) == (410, "Expired")
