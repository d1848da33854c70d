"""The pod of a stage: what it may not do, where it may go, what it takes, what it sees."""

from typing import Any

import pytest

from kubetune_api.exits import PERMANENT
from kubetune_api.run import RUN_FILE_PATH, RunFile
from kubetune_operator.build import run_file as build_run_file
from kubetune_operator.plan import Refusal
from kubetune_operator.render import render
from kubetune_operator.settings import Settings
from unit.operator.builders import (
    BASELINE,
    DATASET,
    MODEL,
    SETTINGS,
    TASK,
    UID,
    Manifest,
    eval_run_manifest,
    job_manifest,
)

GPU = {"accelerator": {"count": 4, "product": "NVIDIA-H100-80GB-HBM3", "memory": "80Gi"}, "cpu": "8", "memory": "64Gi"}
SECRET = {"credentialsSecret": {"name": "token"}}
RICH = {
    "model": MODEL | SECRET,
    "dataset": {"train": [{"uri": "s3://bucket/rows.jsonl"} | SECRET, *DATASET["train"]]},
    "resources": GPU,
    "evaluation": {"spec": {"tasks": [TASK]}},
}


def made(manifest: Manifest, settings: Settings = SETTINGS) -> dict[str, Manifest]:
    """Return the children by kind and, for Jobs and ConfigMaps, stage."""
    found = render(manifest, settings)
    assert not isinstance(found, Refusal), found.message
    return {
        "-".join(filter(None, (child["kind"], child["metadata"]["labels"].get("kubetune.io/stage")))): child
        for child in found
    }


def pod_of(stage: str, settings: Settings = SETTINGS, **spec: Any) -> Manifest:
    pod: Manifest = made(job_manifest(**spec), settings)[f"Job-{stage}"]["spec"]["template"]["spec"]
    return pod


def container_of(stage: str, settings: Settings = SETTINGS, **spec: Any) -> Manifest:
    container: Manifest
    (container,) = pod_of(stage, settings, **spec)["containers"]
    return container


def violations(pod: Manifest) -> list[str]:
    """Return what the `restricted` level of the Pod Security Standards forbids in a pod."""
    found = [name for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name)]
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    found += [f"volume {volume}" for volume in pod["volumes"] if not set(volume) - {"name"} <= allowed]
    shared = pod.get("securityContext", {})
    for container in (*pod.get("initContainers", []), *pod["containers"]):
        context = shared | container.get("securityContext", {})
        capabilities = context.get("capabilities", {})
        rules = {
            "privileged": not context.get("privileged"),
            "privilege escalation": context.get("allowPrivilegeEscalation") is False,
            "capabilities": capabilities.get("drop") == ["ALL"]
            and capabilities.get("add", []) in ([], ["NET_BIND_SERVICE"]),
            "root": context.get("runAsNonRoot") is True and context.get("runAsUser") != 0,
            "seccomp": context.get("seccompProfile", {}).get("type") in ("RuntimeDefault", "Localhost"),
            "procMount": context.get("procMount", "Default") == "Default",
            "host ports": not any(port.get("hostPort") for port in container.get("ports", [])),
        }
        found += [rule for rule, holds in rules.items() if not holds]
    return found


@pytest.mark.parametrize(
    "manifest",
    [
        job_manifest(),
        job_manifest(**RICH),
        job_manifest(resources={"accelerator": {"count": 0}}, workspace={"claimName": "mine"}),
        eval_run_manifest(),
    ],
)
def test_every_pod_passes_the_restricted_level_of_pod_security(manifest: Manifest) -> None:
    jobs = [child for child in made(manifest).values() if child["kind"] == "Job"]
    assert jobs
    assert [violations(job["spec"]["template"]["spec"]) for job in jobs] == [[]] * len(jobs)


def test_the_pod_has_a_read_only_root_and_no_key_to_the_api_server() -> None:
    pod = pod_of("train")
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_pod_runs_as_the_user_of_the_settings_who_may_write_the_volume() -> None:
    context = pod_of("train", Settings(run_as_user=1234))["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (1234, 1234, 1234)


def test_training_gets_its_accelerators_as_requests_and_limits() -> None:
    amounts = {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "4"}
    assert container_of("train", resources=GPU)["resources"] == {"requests": amounts, "limits": amounts}


def test_no_accelerator_is_held_while_the_data_is_checked() -> None:
    pod = pod_of("prepare", resources=GPU)
    assert set(pod["containers"][0]["resources"]["limits"]) == {"cpu", "memory"}
    assert "affinity" not in pod
    assert not [entry for entry in pod["tolerations"] if entry["key"] == "nvidia.com/gpu"]


def test_training_goes_to_nodes_with_the_product_and_memory_asked_for() -> None:
    pod = pod_of("train", resources=GPU)
    required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert required["nodeSelectorTerms"] == [
        {
            "matchExpressions": [
                {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["NVIDIA-H100-80GB-HBM3"]},
                {"key": "nvidia.com/gpu.memory", "operator": "Gt", "values": ["77823"]},
            ]
        }
    ]
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod["tolerations"]


def test_node_selector_tolerations_and_priority_reach_the_pod() -> None:
    toleration = {"key": "team", "operator": "Equal", "value": "a", "effect": "NoSchedule"}
    scheduling = {"nodeSelector": {"pool": "a"}, "priorityClassName": "batch", "tolerations": [toleration]}
    everywhere = {"key": "gpu-pool", "operator": "Exists"}
    pod = pod_of("prepare", Settings(tolerations=[everywhere]), scheduling=scheduling)
    assert pod["nodeSelector"] == {"pool": "a"}
    assert pod["priorityClassName"] == "batch"
    assert pod["tolerations"][:2] == [everywhere, toleration]


def test_a_pod_without_wishes_leaves_the_fields_out() -> None:
    pod = pod_of("prepare", scheduling={"spot": "Avoid"}, resources={"accelerator": {"count": 0}})
    assert not {"nodeSelector", "tolerations", "priorityClassName", "imagePullSecrets"} & set(pod)


def test_secrets_are_given_by_name_alone() -> None:
    container = container_of("train", **RICH)
    assert container["envFrom"] == [{"secretRef": {"name": "token"}}]
    assert "valueFrom" not in str(container["env"])


def test_the_environment_of_the_settings_counts_more_and_nothing_is_sent_home() -> None:
    container = container_of("train", Settings(trainer_env={"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "0"}))
    values = {entry["name"]: entry["value"] for entry in container["env"]}
    assert (values["HF_HUB_OFFLINE"], values["DO_NOT_TRACK"]) == ("1", "0")
    assert values["HF_HUB_DISABLE_TELEMETRY"] == "1"


def test_command_image_and_grace_come_from_the_settings() -> None:
    settings = Settings(
        trainer_image="mine:1",
        trainer_command=["python", "-m", "mine"],
        image_pull_policy="Never",
        image_pull_secrets=["registry"],
        termination_grace_seconds=45,
    )
    pod = pod_of("train", settings)
    container = pod["containers"][0]
    assert (container["image"], container["imagePullPolicy"]) == ("mine:1", "Never")
    assert [*container["command"], *container["args"]] == ["python", "-m", "mine", RUN_FILE_PATH]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["terminationGracePeriodSeconds"] == 45


def test_claims_of_the_user_are_mounted_read_only_and_the_workspace_is_not() -> None:
    pod = pod_of("prepare", model={"uri": "pvc://models/base"})
    mounts = {mount["mountPath"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    claims = {volume["name"]: volume.get("persistentVolumeClaim") for volume in pod["volumes"]}
    assert mounts["/mnt/claims/models"]["readOnly"] is True
    assert claims[mounts["/mnt/claims/datasets"]["name"]] == {"claimName": "datasets"}
    assert "readOnly" not in mounts["/workspace"]


def test_a_claim_that_is_the_workspace_as_well_is_one_volume_seen_twice() -> None:
    pod = pod_of("prepare", workspace={"claimName": "datasets"})
    claims = [volume["persistentVolumeClaim"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
    assert claims == [{"claimName": "datasets"}]
    mounts = [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "workspace"]
    assert mounts == ["/workspace", "/mnt/claims/datasets"]


def test_every_mount_has_its_volume_and_volume_names_are_short() -> None:
    long = "a" * 60 + "." + "b" * 120
    pod = pod_of("prepare", dataset={"train": [{"uri": f"pvc://{long}/x.jsonl"}]})
    names = {volume["name"] for volume in pod["volumes"]}
    assert names == {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    assert max(map(len, names)) <= 63


def test_the_run_file_is_what_the_trainer_reads_and_never_changes() -> None:
    children = made(job_manifest())
    template = children["Job-train"]["spec"]["template"]
    assert RunFile.model_validate_json(template["metadata"]["annotations"]["kubetune.io/run-file"]).stage == "train"
    source = {"path": "run.json", "fieldRef": {"fieldPath": "metadata.annotations['kubetune.io/run-file']"}}
    assert {"name": "run-file", "downwardAPI": {"items": [source]}} in template["spec"]["volumes"]
    assert "ConfigMap-train" not in children
    _assert_seen_as_run_file(template["spec"])


def test_a_run_file_too_large_for_an_annotation_is_a_config_map(monkeypatch: pytest.MonkeyPatch) -> None:
    carried = made(job_manifest())["Job-train"]["spec"]["template"]["metadata"]["annotations"]["kubetune.io/run-file"]
    monkeypatch.setattr(build_run_file, "MOST_BYTES", len(carried.encode()))
    assert "ConfigMap-train" not in made(job_manifest())
    monkeypatch.setattr(build_run_file, "MOST_BYTES", len(carried.encode()) - 1)
    children = made(job_manifest())
    config, template = children["ConfigMap-train"], children["Job-train"]["spec"]["template"]
    assert config["immutable"] is True
    assert RunFile.model_validate_json(config["data"]["run.json"]) == RunFile.model_validate_json(carried)
    assert {"name": "run-file", "configMap": {"name": config["metadata"]["name"]}} in template["spec"]["volumes"]
    assert "kubetune.io/run-file" not in template["metadata"]["annotations"]
    _assert_seen_as_run_file(template["spec"])
    kinds = [child.partition("-")[0] for child in children]
    assert kinds.index("ConfigMap") < kinds.index("Job"), "what is mounted is made before the Job"


def _assert_seen_as_run_file(pod: Manifest) -> None:
    mount = next(entry for entry in pod["containers"][0]["volumeMounts"] if entry["name"] == "run-file")
    assert (f"{mount['mountPath']}/run.json", mount["readOnly"]) == (RUN_FILE_PATH, True)


def test_the_workspace_is_made_once_and_only_when_it_is_ours() -> None:
    claim = made(job_manifest(workspace={"size": "7Gi", "storageClassName": "fast"}))["PersistentVolumeClaim"]
    assert claim["spec"]["resources"] == {"requests": {"storage": "7Gi"}}
    assert claim["spec"]["storageClassName"] == "fast"
    assert "storageClassName" not in made(job_manifest())["PersistentVolumeClaim"]["spec"]
    assert "PersistentVolumeClaim" not in made(job_manifest(workspace={"claimName": "mine"}))


def test_what_is_mounted_is_made_before_the_job() -> None:
    kinds = [child.partition("-")[0] for child in made(job_manifest())]
    assert kinds == ["PersistentVolumeClaim", "Job", "Job"]


def test_failures_that_nothing_can_mend_end_the_job_and_disruptions_cost_no_retry() -> None:
    spec = made(job_manifest(retries=2))["Job-train"]["spec"]
    permanent, disrupted, stopped, decided = spec["podFailurePolicy"]["rules"]
    assert (permanent["action"], permanent["onExitCodes"]["values"]) == ("FailJob", sorted(PERMANENT))
    assert (disrupted["action"], disrupted["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert (stopped["action"], stopped["onExitCodes"]["values"]) == ("Ignore", [75, 143])
    assert (decided["action"], decided["onExitCodes"]["values"]) == ("FailJob", [71, 76, 137])
    assert (spec["backoffLimit"], spec["podReplacementPolicy"]) == (2, "Failed")
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 1, 1)
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_the_job_leaves_suspending_deadline_and_deletion_to_others() -> None:
    spec = made(job_manifest())["Job-train"]["spec"]
    assert not {"suspend", "activeDeadlineSeconds", "ttlSecondsAfterFinished"} & set(spec)


def test_every_child_goes_with_its_owner_and_is_found_by_its_uid() -> None:
    for manifest in (job_manifest(**RICH), eval_run_manifest(candidates=[BASELINE])):
        for child in made(manifest).values():
            (reference,) = child["metadata"]["ownerReferences"]
            assert (reference["kind"], reference["uid"], reference["controller"]) == (manifest["kind"], UID, True)
            assert child["metadata"]["labels"]["kubetune.io/owner-uid"] == UID
            assert child["metadata"]["namespace"] == "team"


def test_pods_carry_the_labels_by_which_they_are_found() -> None:
    job = made(job_manifest())["Job-train"]
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels == job["metadata"]["labels"]
    assert (labels["kubetune.io/stage"], labels["kubetune.io/run"]) == ("train", "1")
