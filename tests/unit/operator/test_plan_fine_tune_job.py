"""Rules of the plan: what a FineTuneJob becomes, and what is refused with field and remedy."""

import pytest

from kubetune_api.run import Stage
from kubetune_operator.plan import FineTuneJob, Plan, Refusal, parse, plan
from kubetune_operator.settings import Settings
from unit.operator.builders import DATASET, MODEL, SETTINGS, TASK, fine_tune_job, job_manifest


def refusal(settings: Settings = SETTINGS, **spec: object) -> Refusal:
    decided = plan(fine_tune_job(**spec), settings)
    assert isinstance(decided, Refusal), decided
    return decided


def planned(settings: Settings = SETTINGS, **spec: object) -> Plan:
    decided = plan(fine_tune_job(**spec), settings)
    assert isinstance(decided, Plan), decided
    return decided


def test_the_shortest_job_is_prepared_on_the_cpu_and_trained_on_one_gpu() -> None:
    prepare, train = planned().stages
    assert (prepare.stage, dict(prepare.pod.extended)) == (Stage.PREPARE, {})
    assert (train.stage, dict(train.pod.extended)) == (Stage.TRAIN, {"nvidia.com/gpu": 1})


def test_the_run_file_says_which_claim_people_find_the_workspace_under() -> None:
    decided = planned()
    assert decided.stages[0].run_file.workspace_uri == f"pvc://{decided.workspace.claim_name}"


def test_claims_of_model_and_data_are_mounted_once_each() -> None:
    dataset = {
        "train": [{"uri": "pvc://data/a.jsonl"}, {"uri": "pvc://data/b.jsonl"}],
        "heldOut": [{"uri": "pvc://h/t.csv"}],
    }
    decided = planned(model={"uri": "pvc://models/base"}, dataset=dataset)
    assert list(decided.stages[0].pod.claims) == ["models", "data", "h"]


def test_secrets_are_named_and_never_read() -> None:
    model = MODEL | {"credentialsSecret": {"name": "hf-token"}}
    dataset = {"train": [{"uri": "s3://bucket/x.jsonl", "credentialsSecret": {"name": "aws"}}]}
    assert list(planned(model=model, dataset=dataset).stages[1].pod.secrets) == ["hf-token", "aws"]


def test_a_claim_of_the_user_is_used_and_not_made() -> None:
    workspace = planned(workspace={"claimName": "mine"}).workspace
    assert (workspace.claim_name, workspace.owned) == ("mine", False)


def test_files_of_the_node_are_refused_unless_the_settings_allow_them() -> None:
    spec = {"model": {"uri": "file:///models/tiny"}}
    found = refusal(**spec)
    assert (found.reason, found.field) == ("NotAllowed", "spec.model.uri")
    assert "copy it to a claim" in found.message
    assert isinstance(plan(fine_tune_job(**spec), Settings(allow_file_uris=True)), Plan)


@pytest.mark.parametrize(
    ("spec", "field", "says"),
    [
        ({"training": {"learningRate": "0"}}, "spec.training.learningRate", "more than 0"),
        ({"training": {"schedule": {"warmupFraction": "1.5"}}}, "spec.training.schedule.warmupFraction", "at most 1"),
        ({"method": {"lora": {"dropout": "1"}}}, "spec.method.lora.dropout", "at most 0.9"),
        ({"dataset": DATASET | {"format": "Preference"}}, "spec.dataset.format", "learns from"),
        ({"dataset": DATASET | {"validation": {"fraction": "0.9"}}}, "spec.dataset.validation.fraction", "0.5"),
        ({"dataset": DATASET | {"heldOut": DATASET["train"]}}, "spec.dataset.heldOut[0]", "trained on as well"),
        ({"dataset": {"train": [{"uri": "pvc://a/x.xlsx"}]}}, "spec.dataset.train[0].uri", ".jsonl"),
        ({"dataset": {"train": [{"uri": "pvc://a/../b"}]}}, "spec.dataset.train[0].uri", "'..'"),
        ({"model": {"uri": "pvc://a/b", "revision": "a" * 40}}, "spec.model.revision", "only hf://"),
        ({"method": {"tuning": "Full"}, "output": {"formats": ["Adapter"]}}, "spec.output.formats", "write Merged"),
        ({"resources": {"cpu": "0"}}, "spec.resources.cpu", "0 cores"),
        ({"resources": {"memory": "1Mi"}}, "spec.resources.memory", "too little"),
        ({"maxRuntime": "0h"}, "spec.maxRuntime", "24h"),
        (
            {"resources": {"accelerator": {"count": 0, "product": "H100"}}},
            "spec.resources.accelerator.product",
            "count is 0",
        ),
        (
            {"resources": {"accelerator": {"resourceName": "example.com/npu", "memory": "8Gi"}}},
            "spec.resources.accelerator.memory",
            "nodeSelector",
        ),
        (
            {"evaluation": {"spec": {"tasks": [TASK], "gates": [{"name": "g", "metric": "other/f1", "atLeast": "1"}]}}},
            "spec.evaluation.spec.gates[0].metric",
            "the tasks are clauses",
        ),
        (
            {"evaluation": {"spec": {"tasks": [TASK], "candidates": [{"name": "base", "model": MODEL}]}}},
            "spec.evaluation.spec.candidates",
            "implied",
        ),
    ],
)
def test_refuses_with_field_and_remedy(spec: dict[str, object], field: str, says: str) -> None:
    found = refusal(**spec)
    assert found.reason == "BadSpec"
    assert found.field == field
    assert says in found.message


def test_every_mistake_is_named_at_once() -> None:
    found = refusal(training={"learningRate": "0"}, resources={"cpu": "0"}, method={"objective": "DPO"})
    assert "spec.training.learningRate" in found.message
    assert "spec.resources.cpu" in found.message
    assert found.reason == "NotSupportedYet"


def test_what_the_trainer_cannot_do_is_refused_before_the_data_is_prepared() -> None:
    found = refusal(training={"compile": "On"})
    assert (found.reason, found.field) == ("NotSupportedYet", "spec.training.compile")


def test_what_is_not_supported_yet_is_refused_with_its_path_and_a_way_out() -> None:
    found = refusal(method={"objective": "DPO"})
    assert (found.reason, found.field) == ("NotSupportedYet", "spec.method.objective")
    assert found.message.endswith("use SFT")


def test_only_training_takes_several_nodes() -> None:
    spec = {"resources": {"nodes": 2}, "workspace": {"claimName": "shared"}, "evaluation": {"spec": {"tasks": [TASK]}}}
    decided = planned(**spec, scheduling={"topology": {"key": "rack"}})
    assert [stage.run_file.compute.nodes for stage in decided.stages] == [1, 2]
    assert decided.evaluation is not None
    assert (decided.evaluation.resources.nodes, decided.evaluation.scheduling.topology) == (1, None)


def test_several_nodes_need_a_workspace_that_all_of_them_mount() -> None:
    found = refusal(resources={"nodes": 2})
    assert (found.reason, found.field) == ("BadSpec", "spec.resources.nodes")
    assert "workspaces are ReadWriteOnce" in found.message
    planned(Settings(access_mode="ReadWriteMany"), resources={"nodes": 2})


def test_a_limit_of_accelerator_hours_is_counted_in_seconds() -> None:
    assert planned(maxAcceleratorHours="1.5").max_accelerator_seconds == 5400
    assert planned().max_accelerator_seconds is None
    assert refusal(maxAcceleratorHours="0").field == "spec.maxAcceleratorHours"


def test_the_evaluation_implies_the_tuned_model_and_the_base() -> None:
    run = planned(evaluation={"spec": {"tasks": [TASK]}}).evaluation
    assert run is not None
    assert [(entry.name, entry.baseline, entry.fine_tune_job) for entry in run.candidates] == [
        ("tuned", False, "bot"),
        ("base", True, None),
    ]


def test_the_evaluation_works_in_the_workspace_of_the_job() -> None:
    decided = planned(evaluation={"spec": {"tasks": [TASK]}})
    assert decided.evaluation is not None
    assert decided.evaluation.workspace.claim_name == decided.workspace.claim_name


@pytest.mark.parametrize("name", ["my.bot", "1.2.bot", "b" * 80, "b." * 120 + "b"])
def test_every_name_that_an_object_may_have_can_be_evaluated(name: str) -> None:
    manifest = job_manifest(evaluation={"spec": {"tasks": [TASK]}})
    manifest["metadata"]["name"] = name
    job = parse(manifest)
    assert isinstance(job, FineTuneJob)
    decided = plan(job, SETTINGS)
    assert isinstance(decided, Plan)
    assert decided.evaluation is not None
    assert decided.evaluation.candidates[0].fine_tune_job == name
    assert "." not in decided.workspace.claim_name
