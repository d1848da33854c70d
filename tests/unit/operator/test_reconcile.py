"""One look at one object, against a cluster in memory: what is written, in which order, and never twice."""

from typing import Any
from unittest.mock import ANY

import pytest

from kubetune_api import names
from kubetune_operator.cluster import gather
from kubetune_operator.cluster.gather import Gatherer
from kubetune_operator.cluster.keys import Key
from kubetune_operator.cluster.recorder import Recorder
from kubetune_operator.cluster.store import KINDS
from kubetune_operator.errors import Conflict, api_error
from kubetune_operator.reconcile import Reconciler
from kubetune_operator.telemetry.metrics import Metrics
from unit.operator.builders import NOW, SETTINGS, UID, Manifest, ago, job_manifest, pod, training
from unit.operator.cluster_in_memory import InMemory

KEY = Key("FineTuneJob", "team", "bot")
PREPARE, TRAIN = (names.stage_name("bot", UID, stage, 1) for stage in ("prepare", "train"))
WORKSPACE = names.workspace_name("bot", UID)


def operator(cluster: InMemory) -> Reconciler:
    client: Any = cluster
    return Reconciler(client, Gatherer(client, SETTINGS), Recorder(client), Metrics(), SETTINGS, clock=lambda: NOW)


def reason(cluster: InMemory, type_: str = "Progressing") -> str:
    entries = cluster.objects["FineTuneJob", "team", "bot"]["status"]["conditions"]
    return str(next(entry["reason"] for entry in entries if entry["type"] == type_))


def finished_pod(stage: str, exit_code: int) -> Manifest:
    entry = pod(stage, exit_code=exit_code) | {"kind": "Pod"}
    entry["metadata"]["labels"][names.LABEL_OWNER_UID] = UID
    entry["metadata"]["ownerReferences"] = [{"kind": "Job", "name": names.stage_name("bot", UID, stage, 1), "uid": "j"}]
    return entry


async def test_the_status_is_stored_before_the_job_is_made_and_nothing_is_made_twice() -> None:
    cluster = InMemory(job_manifest())
    reconciler = operator(cluster)
    await reconciler.reconcile(KEY)
    made = [
        ("create", "PersistentVolumeClaim", WORKSPACE),
        ("create", "Job", PREPARE),
    ]
    assert cluster.writes == [("patch", "FineTuneJob", "bot"), *made]
    await reconciler.reconcile(KEY)
    settled = list(cluster.writes)
    await reconciler.reconcile(KEY)
    assert cluster.writes == settled


async def test_a_foreign_job_of_the_name_is_left_alone_and_told_of() -> None:
    foreign = {"kind": "Job", "metadata": {"name": PREPARE, "ownerReferences": []}, "spec": {"theirs": True}}
    cluster = InMemory(job_manifest(), foreign)
    assert await operator(cluster).reconcile(KEY) == 15
    assert cluster.objects["Job", "team", PREPARE]["spec"] == {"theirs": True}
    assert reason(cluster) == "NameConflict"


async def test_a_copy_of_a_job_with_all_its_labels_is_not_ours() -> None:
    labels = {names.LABEL_OWNER_UID: UID, names.LABEL_STAGE: "train"}
    copied = {"kind": "Job", "metadata": {"name": "copy", "labels": labels}, "spec": {}}
    cluster = InMemory(job_manifest(training(), suspend=True), copied)
    await operator(cluster).reconcile(KEY)
    assert ("delete", "Job", "copy") not in cluster.writes


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (api_error(403, "Forbidden", "exceeded quota: q, requested: count/jobs.batch=1"), "QuotaExceeded"),
        (
            api_error(403, "Forbidden", "unable to create new content because it is being terminated"),
            "NamespaceTerminating",
        ),
        (api_error(403, "Forbidden", "User cannot create jobs"), "Forbidden"),
        (api_error(422, "Invalid", "spec.template: Invalid value"), "Rejected"),
    ],
)
async def test_a_job_that_cannot_be_made_is_a_condition_that_heals(error: Any, told: str) -> None:
    cluster = InMemory(job_manifest())
    reconciler = operator(cluster)
    cluster.refusals["Job"] = error
    assert await reconciler.reconcile(KEY) == 15
    assert reason(cluster) == told
    del cluster.refusals["Job"]
    await reconciler.reconcile(KEY)
    assert ("create", "Job", PREPARE) in cluster.writes


@pytest.mark.parametrize(("kind", "named"), [("Job", "list jobs"), ("Pod", "list pods")])
async def test_children_that_may_not_be_read_are_a_condition_that_heals(kind: str, named: str) -> None:
    cluster = InMemory(job_manifest())
    reconciler = operator(cluster)
    await reconciler.reconcile(KEY)
    made, before = list(cluster.writes), cluster.objects["FineTuneJob", "team", "bot"]["status"]
    cluster.unreadable.add(kind)
    assert await reconciler.reconcile(KEY) == 30
    assert reason(cluster) == "Forbidden"
    after = cluster.objects["FineTuneJob", "team", "bot"]["status"]
    (told,) = [entry["message"] for entry in after["conditions"] if entry["type"] == "Progressing"]
    assert f"may not {named}" in told
    assert "Check its Role" in told
    assert {key: value for key, value in after.items() if key != "conditions"} == {
        key: value for key, value in before.items() if key != "conditions"
    }
    settled = list(cluster.writes)
    assert await reconciler.reconcile(KEY) == 30
    assert cluster.writes == settled, "a hot loop of writes"
    assert [write for write in settled if write not in made and write[0] != "patch"] == [("create", "Event", ANY)]
    cluster.unreadable.clear()
    await reconciler.reconcile(KEY)
    assert reason(cluster) == "Preparing"


async def test_a_job_that_may_not_be_stopped_is_told_of() -> None:
    cluster = InMemory(job_manifest())
    reconciler = operator(cluster)
    await reconciler.reconcile(KEY)
    stored = cluster.objects["FineTuneJob", "team", "bot"]
    cluster.put(stored | {"spec": stored["spec"] | {"suspend": True}})
    cluster.undeletable = api_error(403, "Forbidden", "User cannot delete jobs")
    assert await reconciler.reconcile(KEY) == 15
    assert reason(cluster) == "Forbidden"
    cluster.undeletable = None
    await reconciler.reconcile(KEY)
    assert ("delete", "Job", PREPARE) in cluster.writes


async def test_a_later_run_reads_whether_its_workspace_is_there_and_makes_it_when_it_is_not() -> None:
    cluster = InMemory(job_manifest(training(runs=2, epoch=3)))
    await operator(cluster).reconcile(KEY)
    assert ("create", "PersistentVolumeClaim", WORKSPACE) in cluster.writes
    again = InMemory(job_manifest(training(runs=2, epoch=3)), cluster.of("PersistentVolumeClaim")[0])
    again.refusals["PersistentVolumeClaim"] = api_error(409, "AlreadyExists", "a write that need not be")
    await operator(again).reconcile(KEY)
    assert [write[1] for write in again.writes if write[0] == "create"] == ["Job"]


async def test_an_attempt_is_counted_once_although_the_status_is_written_twice() -> None:
    cluster = InMemory(job_manifest())
    reconciler = operator(cluster)
    await reconciler.reconcile(KEY)
    job = cluster.objects["Job", "team", PREPARE]
    cluster.put(job | {"status": {"conditions": [{"type": "Complete", "status": "True"}]}})
    cluster.put(finished_pod("prepare", 0))
    cluster.refusals["Job"] = api_error(403, "Forbidden", "exceeded quota: q")
    await reconciler.reconcile(KEY)
    assert reason(cluster) == "QuotaExceeded"
    labels = {"stage": "prepare", "reason": "Completed"}
    assert reconciler.metrics.registry.get_sample_value("kubetune_attempts_finished_total", labels) == 1


async def test_an_object_that_changed_meanwhile_is_read_again() -> None:
    cluster = InMemory(job_manifest())
    reconciler = operator(cluster)
    snapshot = reconciler.gatherer.snapshot

    async def meanwhile(key: Key, manifest: Any, look: bool) -> Any:
        found = await snapshot(key, manifest)
        cluster.put(cluster.objects["FineTuneJob", "team", "bot"])
        return found

    reconciler.gatherer.snapshot = meanwhile  # type: ignore[method-assign]
    with pytest.raises(Conflict):
        await reconciler.reconcile(KEY)
    assert not cluster.of("Job")


async def test_a_run_that_is_over_is_never_run_again() -> None:
    over = {"type": "Succeeded", "status": "True", "reason": "Completed", "lastTransitionTime": ago(50)}
    status = training()
    status["conditions"].append(over)
    cluster = InMemory(job_manifest(status))
    await operator(cluster).reconcile(KEY)
    settled = list(cluster.writes)
    await operator(cluster).reconcile(KEY)
    assert not cluster.of("Job")
    assert cluster.writes == settled


async def test_an_object_that_is_being_deleted_is_left_alone() -> None:
    manifest = job_manifest()
    manifest["metadata"]["deletionTimestamp"] = ago(1)
    cluster = InMemory(manifest)
    assert await operator(cluster).reconcile(KEY) is None
    assert cluster.writes == []


async def test_the_log_of_a_pod_that_ended_is_read_once() -> None:
    cluster = InMemory(job_manifest(training()), finished_pod("train", 70))
    reconciler = operator(cluster)
    for _ in range(3):
        await reconciler.reconcile(KEY)
    assert cluster.log_reads == 1


async def test_a_run_without_trouble_takes_few_writes() -> None:
    cluster = InMemory(job_manifest())
    reconciler = operator(cluster)
    for stage, job in (("prepare", PREPARE), ("train", TRAIN)):
        await reconciler.reconcile(KEY)
        for entry in (pod(stage, phase="Pending", started=None), pod(stage), finished_pod(stage, 0)):
            labels = entry["metadata"]["labels"] | {names.LABEL_OWNER_UID: UID}
            entry["metadata"] |= {"labels": labels, "ownerReferences": [{"kind": "Job", "uid": "j"}]}
            cluster.put(entry | {"kind": "Pod"})
            await reconciler.reconcile(KEY)
            await reconciler.reconcile(KEY)
        complete = {"conditions": [{"type": "Complete", "status": "True"}]}
        cluster.put(cluster.objects["Job", "team", job] | {"status": complete})
    await reconciler.reconcile(KEY)
    assert reason(cluster, "Succeeded") == "Completed"
    kinds = [kind for _, kind, _ in cluster.writes]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "FineTuneJob": 5,
        "PersistentVolumeClaim": 1,
        "Job": 2,
    }


class Counted(InMemory):
    """Counts what is read, and gives versions that grow over all objects, as an API server does."""

    def __init__(self, *objects: Manifest) -> None:
        self.reads: list[str] = []
        self._version = 100
        super().__init__(*objects)

    def put(self, manifest: Any) -> Manifest:
        stored = super().put(manifest)
        self._version += 1
        stored["metadata"]["resourceVersion"] = str(self._version)
        return stored

    async def get(self, kind: str, namespace: str, name: str) -> Manifest:
        self.reads.append(kind)
        return await super().get(kind, namespace, name)

    async def list(self, kind: str, namespace: str | None, **selectors: str) -> list[Manifest]:
        self.reads.append(kind)
        return await super().list(kind, namespace, **selectors)

    async def merge(self, *arguments: Any) -> Manifest:
        before = list(self.reads)
        answer = await super().merge(*arguments)
        self.reads = before
        return answer


def watched(cluster: Counted) -> Reconciler:
    """Return an operator whose watches have shown the cluster as it is."""
    reconciler = operator(cluster)
    store = reconciler.gatherer.store
    for manifest in cluster.objects.values():
        if manifest["kind"] in KINDS:
            store.put(manifest)
    for kind in KINDS:
        store.listed(kind, None, [entry["metadata"]["uid"] for entry in cluster.of(kind)], store.mark())
    return reconciler


async def test_the_first_job_is_made_without_reading_and_only_for_the_version_that_was_seen() -> None:
    cluster = Counted(job_manifest())
    reconciler = watched(cluster)
    await reconciler.reconcile(KEY, look=True)
    assert ("create", "Job", PREPARE) in cluster.writes
    assert cluster.reads == []
    changed = Counted(job_manifest())
    reconciler = watched(changed)
    changed.put(changed.objects["FineTuneJob", "team", "bot"] | {"spec": {}})
    with pytest.raises(Conflict):
        await reconciler.reconcile(KEY, look=True)
    assert changed.writes == []


async def test_what_we_wrote_ourselves_is_known_and_a_look_at_it_reads_and_writes_nothing() -> None:
    cluster = Counted(job_manifest())
    reconciler = watched(cluster)
    await reconciler.reconcile(KEY, look=True)
    store = reconciler.gatherer.store
    assert [store.put(cluster.objects[kind, "team", name]) for kind, name in ((KEY.kind, "bot"), ("Job", PREPARE))] == [
        False,
        False,
    ]
    settled = list(cluster.writes)
    await reconciler.reconcile(KEY, look=True)
    assert (cluster.reads, cluster.writes) == ([], settled)


async def test_nothing_is_made_or_ended_by_a_look_alone() -> None:
    """The store has not heard of a Job that is there: by the looks of it, one is to be made."""
    cluster = Counted(job_manifest())
    await watched(cluster).reconcile(KEY)
    settled = list(cluster.writes)
    behind = watched(cluster)
    behind.gatherer.store.drop(cluster.objects["Job", "team", PREPARE])
    await behind.reconcile(KEY, look=True)
    assert {"FineTuneJob", "Job", "Pod"} <= set(cluster.reads)
    assert [write for write in cluster.writes if write not in settled] == []


async def test_a_run_that_ended_is_read_before_that_is_told() -> None:
    cluster = Counted(job_manifest())
    await watched(cluster).reconcile(KEY)
    job = cluster.objects["Job", "team", PREPARE]
    cluster.put(job | {"status": {"conditions": [{"type": "Complete", "status": "True"}]}})
    cluster.put(finished_pod("prepare", 0))
    await watched(cluster).reconcile(KEY, look=True)
    assert {"FineTuneJob", "Job", "Pod"} <= set(cluster.reads)
    assert ("create", "Job", TRAIN) in cluster.writes


async def test_whatever_the_watches_wake_up_is_read_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Counted(job_manifest())
    reconciler = watched(cluster)
    await reconciler.reconcile(KEY, look=True)
    monkeypatch.setattr(gather, "_READ_AFTER", 0.0)
    await reconciler.reconcile(KEY, look=True)
    assert {"FineTuneJob", "Job", "Pod"} <= set(cluster.reads)


async def test_while_the_watches_list_everything_is_read() -> None:
    cluster = Counted(job_manifest())
    reconciler = watched(cluster)
    reconciler.gatherer.store.list_begins("Pod", None)
    await reconciler.reconcile(KEY, look=True)
    assert {"FineTuneJob", "Job", "Pod"} <= set(cluster.reads)


async def test_a_status_that_somebody_cleared_makes_no_second_job() -> None:
    cluster = Counted(job_manifest())
    await watched(cluster).reconcile(KEY)
    cluster.put({name: part for name, part in cluster.objects[KEY.kind, "team", "bot"].items() if name != "status"})
    await watched(cluster).reconcile(KEY, look=True)
    assert cluster.reads != []
    assert len(cluster.of("Job")) == 1
