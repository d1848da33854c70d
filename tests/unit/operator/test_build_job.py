"""The Job of a stage: alone, together with others, in a queue, away from nodes, and what its trainer is told."""

from typing import Any

import pytest

from kubetune_api import names
from kubetune_api.run import RunFile, Stage
from kubetune_operator.build import stage_children
from kubetune_operator.plan import Plan, plan
from kubetune_operator.plan.launch import Launch
from unit.operator.builders import SETTINGS, UID, Manifest, eval_run, fine_tune_job

GANG = {"resources": {"nodes": 3}, "workspace": {"claimName": "shared"}}


def made(launch: Launch, **spec: Any) -> dict[str, Manifest]:
    """Return the children of a run by kind."""
    decided = plan(fine_tune_job(**spec), SETTINGS, {})
    assert isinstance(decided, Plan), decided
    return {child["kind"]: child for child in stage_children(decided, launch, SETTINGS)}


def run_file(children: dict[str, Manifest]) -> RunFile:
    told = children["Job"]["spec"]["template"]["metadata"]["annotations"][names.ANNOTATION_RUN_FILE]
    return RunFile.model_validate_json(told)


def test_pods_that_train_together_meet_at_the_first_one() -> None:
    children = made(Launch(Stage.TRAIN, 2, 3, epoch=4), **GANG)
    name = names.stage_name("bot", UID, "train", 2)
    job, service = children["Job"], children["Service"]
    assert (job["spec"]["completions"], job["spec"]["parallelism"]) == (3, 3)
    assert job["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"] == name
    assert (service["spec"]["clusterIP"], service["spec"]["publishNotReadyAddresses"]) == ("None", True)
    assert service["spec"]["selector"].items() <= job["spec"]["template"]["metadata"]["labels"].items()
    told = run_file(children)
    (port,) = [entry["port"] for entry in service["spec"]["ports"]]
    assert told.rendezvous == f"{name}-0.{name}:{port}"
    assert 20000 <= port < 30000
    assert (told.epoch, told.compute.nodes) == (4, 3)
    assert run_file(made(Launch(Stage.TRAIN, 3, 3), **GANG)).rendezvous != told.rendezvous


def test_whatever_ends_one_of_several_ends_them_all() -> None:
    spec = made(Launch(Stage.TRAIN, 1, 3), **GANG)["Job"]["spec"]
    codes, disrupted = spec["podFailurePolicy"]["rules"]
    assert spec["backoffLimit"] == 0
    assert (codes["action"], codes["onExitCodes"]["operator"], codes["onExitCodes"]["values"]) == (
        "FailJob",
        "NotIn",
        [0],
    )
    assert (disrupted["action"], disrupted["onPodConditions"][0]["type"]) == ("FailJob", "DisruptionTarget")


def test_data_is_prepared_by_one_pod() -> None:
    children = made(Launch(Stage.PREPARE, 1, 3), **GANG)
    assert "Service" not in children
    assert children["Job"]["spec"]["completions"] == 1
    assert "subdomain" not in children["Job"]["spec"]["template"]["spec"]
    assert (run_file(children).rendezvous, run_file(children).compute.nodes) == (None, 1)


@pytest.mark.parametrize(("job", "service"), [("a-train-1", "a-train-1"), ("7b-train-1", "n7b-train-1")])
def test_a_service_begins_with_a_letter(job: str, service: str) -> None:
    assert names.service_name(job) == service
    assert names.rendezvous_host(job) == f"{job}-0.{service}"


def test_a_queue_gets_its_label_and_a_job_that_waits_to_be_admitted() -> None:
    job = made(Launch(Stage.TRAIN, 1, 3), scheduling={"queueName": "team-a"})["Job"]
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    assert job["spec"]["suspend"] is True
    assert "suspend" not in made(Launch(Stage.TRAIN, 1, 3))["Job"]["spec"]
    decided = plan(eval_run(scheduling={"queueName": "team-a"}), SETTINGS, {})
    assert isinstance(decided, Plan)
    assert stage_children(decided, Launch(Stage.EVALUATE, 1, 3), SETTINGS)[-1]["spec"]["suspend"] is True


def terms(**spec: Any) -> list[list[Manifest]]:
    pod = made(Launch(Stage.TRAIN, 2, 3, avoided_nodes=("bad-1", "bad-2")), **spec)["Job"]["spec"]["template"]["spec"]
    required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return [term["matchExpressions"] for term in required["nodeSelectorTerms"]]


def test_nodes_are_avoided_whichever_term_holds() -> None:
    away = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["bad-1", "bad-2"]}
    assert terms() == [[away]]
    spot = terms(scheduling={"spot": "Require"})
    assert len(spot) > 1
    assert all(term[-1] == away and len(term) == 2 for term in spot)


def test_what_changed_for_a_run_changes_no_result() -> None:
    before, after = (made(Launch(Stage.TRAIN, 1, 3, 1, divisor)) for divisor in (1, 4))
    assert run_file(after).adjustments.micro_batch_divisor == 4
    assert run_file(before).config_digest() == run_file(after).config_digest()
    assert before["Job"]["metadata"]["annotations"] == after["Job"]["metadata"]["annotations"]
