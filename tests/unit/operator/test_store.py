"""What the watches have shown: the newest of everything, in whatever order it comes, and nothing that is gone."""

import random
from typing import Any

import pytest

from kubetune_api import API_VERSION, names
from kubetune_operator.cluster.keys import Key
from kubetune_operator.cluster.store import KINDS, Store
from unit.operator.builders import UID, Manifest, ago, job_manifest, stored

BOT = Key("FineTuneJob", "team", "bot")
OVER = stored(
    phase="Succeeded",
    conditions=[{"type": "Succeeded", "status": "True", "reason": "Completed", "lastTransitionTime": ago(9)}],
)


def subject(version: int, uid: str = UID, **spec: object) -> Manifest:
    manifest = job_manifest(**spec)
    manifest["metadata"] |= {"uid": uid, "resourceVersion": str(version)}
    return manifest


def job(version: int, name: str = "bot-train", uid: str = "j", owner: str = UID, **status: object) -> Manifest:
    reference = {"apiVersion": API_VERSION, "kind": "FineTuneJob", "name": "bot", "uid": owner}
    labels = {names.LABEL_OWNER_UID: owner}
    metadata = {"name": name, "namespace": "team", "uid": uid, "resourceVersion": str(version), "labels": labels}
    return {"kind": "Job", "metadata": metadata | {"ownerReferences": [reference]}, "spec": {}, "status": status}


def completed(version: int, **more: Any) -> Manifest:
    return job(version, conditions=[{"type": "Complete", "status": "True"}], **more)


def listed(store: Store, *but: str) -> None:
    for kind in KINDS:
        if kind not in but:
            store.listed(kind, None, [], 0)


def spec_of(store: Store) -> Any:
    seen = store.look(BOT)
    return seen and seen["spec"].get("suspend")


def test_an_older_version_never_takes_the_place_of_a_newer_one() -> None:
    store = Store()
    assert store.put(subject(9, suspend=True))
    assert not store.put(subject(8, suspend=False))
    assert spec_of(store) is True
    assert store.put(subject(10, suspend=False)), "versions are numbers and not texts"
    assert spec_of(store) is False


def test_the_same_version_twice_is_no_news() -> None:
    store = Store()
    assert [store.put(subject(7)), store.put(subject(7))] == [True, False]


def test_a_child_that_changes_in_nothing_that_is_read_is_no_news() -> None:
    store = Store()
    assert store.put(job(1))
    assert not store.put(job(2, uncountedTerminatedPods={}))
    assert store.put(completed(3))
    assert store.jobs(UID)["bot-train"].complete


def test_what_was_deleted_does_not_come_back_with_a_late_event() -> None:
    store = Store()
    store.put(subject(1))
    store.put(job(2))
    store.drop(job(5))
    store.drop(subject(6))
    assert not store.put(job(4))
    assert not store.put(subject(3))
    assert store.look(BOT) is None
    assert store.jobs(UID) == {}


def test_a_job_that_loses_its_label_and_gets_it_back_is_there_again() -> None:
    store = Store()
    store.drop(job(5))
    assert store.put(job(6))
    assert "bot-train" in store.jobs(UID)


def test_an_object_of_the_same_name_is_another() -> None:
    store = Store()
    store.put(subject(1, uid="old", suspend=True))
    store.put(subject(5, uid="new", suspend=False))
    store.drop(subject(4, uid="old"))
    assert not store.put(subject(3, uid="old", suspend=True))
    assert spec_of(store) is False


def test_a_copy_of_a_job_with_all_its_labels_is_no_child() -> None:
    store = Store()
    copied = job(1)
    del copied["metadata"]["ownerReferences"]
    store.put(copied)
    assert store.jobs(UID) == {}


def test_what_a_list_lacks_is_gone_unless_it_came_meanwhile() -> None:
    store = Store()
    store.put(subject(1))
    store.put(job(2, "bot-prepare", "old"))
    mark = store.list_begins("Job", None)
    store.put(job(4, "bot-train", "new"))
    assert store.listed("Job", None, [], mark) == [BOT], "its owner is to be looked at"
    assert list(store.jobs(UID)) == ["bot-train"]


def test_what_reading_the_children_lacks_is_gone() -> None:
    store = Store()
    store.put(job(2, "bot-prepare", "old"))
    mark = store.mark()
    store.put(job(4, "bot-train", "new"))
    store.read(UID, "Job", [], mark)
    assert list(store.jobs(UID)) == ["bot-train"]


def test_a_store_is_complete_when_all_is_listed_and_not_while_it_is_listed_anew() -> None:
    store = Store()
    listed(store, "Pod")
    assert not store.complete
    mark = store.list_begins("Pod", None)
    store.listed("Pod", None, [], mark)
    assert store.complete
    assert store.childless(UID)
    store.list_begins("Pod", None)
    assert not store.complete
    assert not store.childless(UID)
    listed(store)
    store.begin()
    assert not store.complete


def test_a_store_of_namespaces_is_complete_when_each_is_listed() -> None:
    store = Store(["a", "b"])
    for kind in KINDS:
        store.listed(kind, "a", [], 0)
    assert not store.complete
    for kind in KINDS:
        store.listed(kind, "b", [], 0)
    assert store.complete


async def test_waiting_for_the_lists_ends() -> None:
    store = Store()
    store._began_at -= 60
    await store.listing()
    assert not store.complete


def test_of_a_settled_run_only_versions_are_kept_and_should_it_go_on_it_is_read() -> None:
    store = Store()
    listed(store)
    store.put(job(1))
    store.put(job_manifest(OVER) | {"metadata": subject(2)["metadata"]})
    assert store.look(BOT) is None
    assert store.jobs(UID) == {}
    assert not store.put(job(1))
    assert not store.put(subject(1))
    store.put(job_manifest(OVER, ttlSecondsAfterFinished=1) | {"metadata": subject(3)["metadata"]})
    assert store.look(BOT) is None, "its children were dropped"
    assert not store.childless(UID)


@pytest.mark.parametrize("seed", range(40))
def test_dropped_doubled_and_reordered_events_end_as_the_cluster_is_after_a_list(seed: int) -> None:
    """R7: what the cluster is, is what the store says in the end, whatever became of the events."""
    chance, cluster, events, version = random.Random(seed), {}, [], 0
    for _ in range(120):
        version += 1
        name, known = chance.choice("abc"), None
        known = cluster.get(name)
        if known is None:
            cluster[name] = job(version, name, uid=f"{name}{version}")
        elif chance.random() < 0.3:
            events.append(("DELETED", job(version, name, uid=known["metadata"]["uid"])))
            del cluster[name]
            continue
        else:
            make = completed if chance.random() < 0.5 else job
            cluster[name] = make(version, name=name, uid=known["metadata"]["uid"])
        events.append(("MODIFIED", cluster[name]))
    events = [event for event in events for _ in range(chance.choice([0, 1, 1, 2]))]
    for index in range(len(events) - 4):
        other = index + chance.randrange(4)
        events[index], events[other] = events[other], events[index]
    store = Store()
    for type_, manifest in events:
        store.drop(manifest) if type_ == "DELETED" else store.put(manifest)
    mark = store.list_begins("Job", None)
    for manifest in cluster.values():
        store.put(manifest)
    store.listed("Job", None, [manifest["metadata"]["uid"] for manifest in cluster.values()], mark, version)
    wanted = {name: "conditions" in manifest["status"] for name, manifest in cluster.items()}
    assert {name: view.complete for name, view in store.jobs(UID).items()} == wanted
    for type_, manifest in events:
        if type_ != "DELETED":
            store.put(manifest)
    assert {name: view.complete for name, view in store.jobs(UID).items()} == wanted, "a late event changed something"
