"""What is seen of the cluster becomes keys: of the object itself, and of the owner of a child."""

from kubetune_api import API_VERSION, names
from kubetune_operator.cluster.keys import Key
from kubetune_operator.handlers import Trigger
from kubetune_operator.resync import Resync
from kubetune_operator.telemetry.metrics import Metrics
from kubetune_operator.watching import kopf_settings
from unit.operator.builders import SETTINGS, Manifest, ago, job_manifest, stored
from unit.operator.cluster_in_memory import InMemory

BOT = Key("FineTuneJob", "team", "bot")
OVER = stored(
    phase="Succeeded",
    conditions=[{"type": "Succeeded", "status": "True", "reason": "Completed", "lastTransitionTime": ago(9)}],
)


class Seen:
    """A trigger whose keys are kept."""

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.metrics = Metrics()
        self.trigger = Trigger(self.add, self.metrics)

    def add(self, key: Key, look: bool = False, first: bool = False) -> None:
        self.keys.append(key)

    def runs(self, phase: str) -> float | None:
        return self.metrics.registry.get_sample_value("kubetune_runs", {"kind": "FineTuneJob", "phase": phase})


def child(kind: str, **metadata: object) -> Manifest:
    return {"kind": kind, "metadata": {"name": "child", "namespace": "team"} | metadata}


def test_an_object_is_looked_at() -> None:
    seen = Seen()
    seen.trigger.see(job_manifest())
    assert seen.keys == [BOT]


def test_an_object_about_which_nothing_is_left_to_do_is_only_counted() -> None:
    seen = Seen()
    seen.trigger.see(job_manifest(OVER))
    assert seen.keys == []
    assert seen.runs("Succeeded") == 1


def test_an_object_that_runs_is_counted_by_whoever_sees_it() -> None:
    seen = Seen()
    seen.trigger.see(job_manifest(stored(phase="Training")))
    assert (seen.keys, seen.runs("Training")) == ([BOT], 1)


def test_a_follower_keeps_no_key_that_another_has_settled() -> None:
    dropped: list[Key] = []
    trigger = Trigger(lambda key, look=False, first=False: None, Metrics(), dropped.append)
    trigger.see(job_manifest())
    assert dropped == []
    trigger.see(job_manifest(OVER))
    assert dropped == [BOT]


def test_an_object_that_is_over_but_to_be_deleted_in_time_is_looked_at() -> None:
    seen = Seen()
    seen.trigger.see(job_manifest(OVER, ttlSecondsAfterFinished=60))
    assert seen.keys == [BOT]


def test_a_job_leads_to_its_owner_and_a_pod_by_its_labels() -> None:
    seen = Seen()
    owner = {"apiVersion": API_VERSION, "kind": "FineTuneJob", "name": "bot", "uid": "1"}
    seen.trigger.see_child(child("Job", ownerReferences=[owner]))
    job = {"apiVersion": "batch/v1", "kind": "Job", "name": "bot-train", "uid": "2"}
    labels = {names.LABEL_KIND: "FineTuneJob", names.LABEL_NAME: "bot"}
    seen.trigger.see_child(child("Pod", ownerReferences=[job], labels=labels))
    seen.trigger.see_child(child("Pod"))
    assert seen.keys == [BOT, BOT]


def test_an_evaluation_that_ended_leads_to_the_job_that_owns_it() -> None:
    seen = Seen()
    owner = {"apiVersion": API_VERSION, "kind": "FineTuneJob", "name": "bot", "uid": "1"}
    seen.trigger.see(child("EvalRun", ownerReferences=[owner], generation=1) | {"spec": {}, "status": OVER})
    assert seen.keys == [BOT]


def test_an_object_that_is_gone_is_no_longer_counted() -> None:
    seen = Seen()
    seen.trigger.see(job_manifest(OVER))
    seen.trigger.lose(job_manifest(OVER))
    assert seen.runs("Succeeded") == 0


async def test_a_full_list_finds_deletions_that_the_watches_missed() -> None:
    seen, cluster = Seen(), InMemory(job_manifest())
    resync = Resync(cluster, SETTINGS, seen.trigger, seen.metrics)  # type: ignore[arg-type]
    seen.metrics.see_phase(Key("FineTuneJob", "team", "gone"), "Training")
    assert resync.problem is not None
    await resync.once()
    assert seen.keys == [BOT]
    assert seen.runs("Training") == 0


def test_kopf_only_watches_and_never_gives_up() -> None:
    settings = kopf_settings()
    delays = iter(settings.networking.error_backoffs)  # type: ignore[arg-type]
    assert max(next(delays) for _ in range(1000)) <= 8
    assert not settings.posting.enabled
    assert settings.persistence.diffbase_storage.build(body={"spec": {"large": "x" * 9999}}, extra_fields=None) == {}
    assert settings.scanning.disabled
    selectors = settings.watching.label_selectors
    assert selectors["batch", "v1", "jobs"] == selectors["", "v1", "pods"] == "app.kubernetes.io/managed-by=kubetune"
