"""What the controllers decide, without a server."""

from datetime import UTC, datetime
from typing import Any

import pytest

from kubetune_local.controllers.cleanup import expiry
from kubetune_local.controllers.garbage_owners import judge
from kubetune_local.controllers.volumes_matching import best_volume, default_class, mismatch
from kubetune_local.controllers.volumes_provisioner import VolumeRefused, check_claim

JSON = dict[str, Any]
OWNERS = [{"apiVersion": "v1", "kind": "ConfigMap", "name": uid, "uid": uid} for uid in ("a", "b")]


def volume(name: str = "v", size: str = "1Gi", **spec: Any) -> JSON:
    full = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local", **spec}
    return {"metadata": {"name": name}, "spec": full, "status": {"phase": "Available"}}


def claim(size: str = "1Gi", **spec: Any) -> JSON:
    full = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec}
    meta = {"namespace": "n", "name": "c", "uid": "u"}
    return {"metadata": meta, "spec": {"storageClassName": "local", **full}}


@pytest.mark.parametrize(
    ("states", "delete", "drop"),
    [
        (["here", "here"], False, set()),
        (["here", "absent"], False, {"b"}),
        (["waiting", "here"], False, {"a"}),
        (["absent", "absent"], True, set()),
        (["absent", "waiting"], True, set()),
        (["absent", "unknown"], False, set()),
    ],
)
def test_an_object_goes_only_when_no_owner_lives(states: list[str], delete: bool, drop: set[str]) -> None:
    verdict = judge(OWNERS, states, has_dependents=False)
    assert (verdict.delete, verdict.drop) == (delete, drop)


def test_an_owner_of_an_unknown_kind_keeps_its_object_and_is_named() -> None:
    assert "v1 ConfigMap b" in judge(OWNERS, ["absent", "unknown"], has_dependents=False).problem


def test_what_waits_in_the_foreground_passes_its_wait_on() -> None:
    assert judge(OWNERS, ["waiting", "absent"], has_dependents=True).policy == "Foreground"


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (volume(), ""),
        (volume(size="1023Mi"), "requested PV is too small"),
        (volume(storageClassName="other"), "storageClassName does not match"),
        (volume(accessModes=["ReadOnlyMany"]), "incompatible accessMode"),
        (volume(volumeMode="Block"), "incompatible volumeMode"),
    ],
)
def test_a_volume_that_does_not_suit_says_why(found: JSON, why: str) -> None:
    assert mismatch(found, claim()) == why


def test_the_smallest_free_volume_that_suffices_is_taken() -> None:
    volumes = [volume("big", "9Gi"), volume("small", "2Gi"), volume("tiny", "1Mi")]
    best = best_volume(volumes, claim())
    assert best is not None
    assert best["metadata"]["name"] == "small"


def test_a_reserved_volume_is_taken_before_a_smaller_one_and_by_nobody_else() -> None:
    reserved = volume("reserved", "9Gi", claimRef={"namespace": "n", "name": "c"})
    assert best_volume([volume(), reserved], claim()) is reserved
    foreign = volume("foreign", claimRef={"namespace": "n", "name": "c", "uid": "of a namesake"})
    assert best_volume([foreign], claim()) is None


def test_a_selector_chooses_among_volumes() -> None:
    marked = {**volume("marked"), "metadata": {"name": "marked", "labels": {"disk": "ssd"}}}
    rule = {"key": "disk", "operator": "In", "values": ["ssd"]}
    assert best_volume([volume("a"), marked], claim(selector={"matchExpressions": [rule]})) is marked


def test_the_newest_default_class_is_the_default() -> None:
    marks = {"storageclass.kubernetes.io/is-default-class": "true"}
    old = {"metadata": {"name": "z", "annotations": marks, "creationTimestamp": "2026-01-01T00:00:00Z"}}
    new = {"metadata": {"name": "a", "annotations": marks, "creationTimestamp": "2026-01-02T00:00:00Z"}}
    assert default_class([new, old, {"metadata": {"name": "plain"}}]) is new


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (claim("2Gi"), "2Gi asked for, and 1Gi are free"),
        (claim(volumeMode="Block"), "volumeMode Block"),
        (claim(selector={"matchLabels": {}, "matchExpressions": [{"key": "a"}]}), "selector"),
        (claim(dataSource={"kind": "PersistentVolumeClaim", "name": "other"}), "dataSource"),
    ],
)
def test_what_a_directory_cannot_be_is_refused(asked: JSON, why: str) -> None:
    with pytest.raises(VolumeRefused, match=why):
        check_claim(asked, free=2**30)


def test_a_job_expires_after_its_end_and_not_before_it() -> None:
    job: JSON = {"metadata": {}, "spec": {"ttlSecondsAfterFinished": 90}, "status": {}}
    assert expiry(job) is None
    ended = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    job["status"] = {"conditions": [ended]}
    assert expiry(job) == datetime(2026, 1, 1, 0, 1, 30, tzinfo=UTC)
    job["spec"] = {}
    assert expiry(job) is None
