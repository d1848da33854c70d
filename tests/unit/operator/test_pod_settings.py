"""`spec.pod` and the placement of gangs: what reaches the pods, and what is not the user's to set."""

from typing import Any

import pytest

from kubetune_operator.build.environment import environment
from kubetune_operator.plan import Refusal, plan
from kubetune_operator.render import render
from kubetune_operator.settings import Settings
from unit.operator.builders import SETTINGS, fine_tune_job, job_manifest

Manifest = dict[str, Any]
GANG: Manifest = {"resources": {"nodes": 2}, "workspace": {"claimName": "shared"}}


def job_of(settings: Settings = SETTINGS, **spec: Any) -> Manifest:
    """Return the train Job."""
    found = render(job_manifest(**spec), settings)
    assert not isinstance(found, Refusal), found.message
    jobs = [child for child in found if child["kind"] == "Job"]
    return next(job for job in jobs if job["metadata"]["labels"]["kubetune.io/stage"] == "train")


def refusal(**pod: Any) -> Refusal:
    decided = plan(fine_tune_job(pod=pod), Settings(trainer_env={"HF_HUB_OFFLINE": "1"}))
    assert isinstance(decided, Refusal), decided
    return decided


def test_what_the_user_gives_a_pod_is_in_it() -> None:
    pod = {
        "serviceAccountName": "trainer",
        "imagePullSecrets": [{"name": "registry"}, {"name": "mine"}],
        "labels": {"cost-centre": "42"},
        "annotations": {"example.com/note": "hello"},
        "env": [{"name": "NCCL_DEBUG", "value": "INFO"}],
        "volumes": [{"mountPath": "/mnt/a", "claimName": "cache"}, {"mountPath": "/mnt/b", "configMapName": "words"}],
        "runtimeClassName": "nvidia",
    }
    template = job_of(Settings(image_pull_secrets=["registry"]), pod=pod)["spec"]["template"]
    spec, (container,) = template["spec"], template["spec"]["containers"]
    assert (spec["serviceAccountName"], spec["runtimeClassName"]) == ("trainer", "nvidia")
    assert spec["automountServiceAccountToken"] is False
    assert spec["imagePullSecrets"] == [{"name": "registry"}, {"name": "mine"}]
    assert template["metadata"]["labels"]["cost-centre"] == "42"
    assert template["metadata"]["annotations"]["example.com/note"] == "hello"
    assert {"name": "NCCL_DEBUG", "value": "INFO"} in container["env"]
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert mounts["/mnt/a"]["readOnly"]
    assert mounts["/mnt/b"]["readOnly"]
    assert volumes[mounts["/mnt/a"]["name"]]["persistentVolumeClaim"] == {"claimName": "cache"}
    assert volumes[mounts["/mnt/b"]["name"]]["configMap"] == {"name": "words"}


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "DB_PASSWORD", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "api_key", "KEY", "MY_SECRET_X"]
)
def test_a_credential_is_not_written_where_all_can_read_it(name: str) -> None:
    found = refusal(env=[{"name": name, "value": "x"}])
    assert (found.reason, found.field) == ("NotAllowed", "spec.pod.env[0].name")
    assert "credentialsSecret" in found.message


@pytest.mark.parametrize("value", ["hf_" + "a" * 30, "AKIA" + "A" * 16, "https://me:word@host/x"])
def test_nor_is_one_under_a_harmless_name_and_it_is_not_repeated(value: str) -> None:
    found = refusal(env=[{"name": "NOTE", "value": value}])
    assert found.field == "spec.pod.env[0].value"
    assert value not in found.message


@pytest.mark.parametrize("name", ["TOKENIZERS_PARALLELISM", "MONKEY", "NCCL_SOCKET_IFNAME"])
def test_names_that_only_remind_of_credentials_are_taken(name: str) -> None:
    template = job_of(pod={"env": [{"name": name, "value": "0"}]})["spec"]["template"]
    assert {"name": name, "value": "0"} in template["spec"]["containers"][0]["env"]


@pytest.mark.parametrize(
    "name",
    ["KUBETUNE_MOUNTS", "JOB_COMPLETION_INDEX", "HF_HUB_OFFLINE", *(entry["name"] for entry in environment({}, {}))],
)
def test_variables_of_the_operator_and_the_platform_stay_theirs(name: str) -> None:
    assert refusal(env=[{"name": name, "value": "x"}]).field == "spec.pod.env[0].name"


@pytest.mark.parametrize(
    ("field", "key"),
    [
        ("labels", "kubetune.io/owner-uid"),
        ("labels", "kueue.x-k8s.io/queue-name"),
        ("labels", "job-name"),
        ("labels", "app.kubernetes.io/managed-by"),
        ("labels", "not a key"),
        ("annotations", "kubetune.io/config-digest"),
        ("annotations", "kueue.x-k8s.io/podset-required-topology"),
        ("annotations", "container.apparmor.security.beta.kubernetes.io/trainer"),
    ],
)
def test_keys_of_others_are_refused(field: str, key: str) -> None:
    found = refusal(**{field: {key: "x"}})
    assert found.field == f"spec.pod.{field}"
    assert key in found.message


@pytest.mark.parametrize(
    "path", ["/workspace", "/workspace/x", "/etc", "/etc/kubetune", "/dev/shm", "/mnt", "/a/../b", "/a//b", "/a/"]
)
def test_a_volume_covers_nothing_that_the_pod_needs(path: str) -> None:
    assert refusal(volumes=[{"mountPath": path, "claimName": "c"}]).field == "spec.pod.volumes[0].mountPath"


def test_volumes_do_not_cover_each_other() -> None:
    volumes = [{"mountPath": "/a/b", "claimName": "c"}, {"mountPath": "/a", "claimName": "d"}]
    assert refusal(volumes=volumes).field == "spec.pod.volumes[1].mountPath"


def test_pods_that_train_together_keep_together() -> None:
    for mode, rule in (("Require", "required"), ("Prefer", "preferred")):
        job = job_of(**GANG, scheduling={"topology": {"key": "rack", "mode": mode}})
        affinity = job["spec"]["template"]["spec"]["affinity"]["podAffinity"]
        (term,) = affinity[f"{rule}DuringSchedulingIgnoredDuringExecution"]
        term = term.get("podAffinityTerm", term)
        assert term["topologyKey"] == "rack"
        assert term["labelSelector"] == {"matchLabels": {"batch.kubernetes.io/job-name": job["metadata"]["name"]}}


def test_a_queue_keeps_them_together_itself() -> None:
    for mode, rule in (("Require", "required"), ("Prefer", "preferred")):
        wanted = {"queueName": "team-a", "workloadPriorityClass": "high", "topology": {"key": "rack", "mode": mode}}
        job = job_of(**GANG, scheduling=wanted)
        assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
        assert job["metadata"]["labels"]["kueue.x-k8s.io/priority-class"] == "high"
        template = job["spec"]["template"]
        assert template["metadata"]["annotations"][f"kueue.x-k8s.io/podset-{rule}-topology"] == "rack"
        assert "affinity" not in template["spec"]


@pytest.mark.parametrize(
    ("scheduling", "field"),
    [
        ({"topology": {"key": "rack"}}, "spec.scheduling.topology"),
        ({"workloadPriorityClass": "high"}, "spec.scheduling.workloadPriorityClass"),
        ({"nodeSelector": {"no key": "x"}}, "spec.scheduling.nodeSelector"),
    ],
)
def test_placement_that_means_nothing_is_refused(scheduling: Manifest, field: str) -> None:
    decided = plan(fine_tune_job(scheduling=scheduling), SETTINGS)
    assert isinstance(decided, Refusal)
    assert decided.field == field
