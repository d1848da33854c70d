"""The platform's policy: what is refused and how that is said, who waits, and a document that changes meanwhile."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from kubetune_operator.plan import Plan, Refusal, plan
from kubetune_operator.plan.limits import RunUsage, applied, usage_of
from kubetune_operator.policy import NamespaceLimit, Policy, parse_policy
from kubetune_operator.policy_file import PolicyFile
from kubetune_operator.settings import Settings
from unit.operator.builders import MODEL, NOW, SETTINGS, UID, fine_tune_job, stored

GPU = {"accelerator": {"count": 4, "product": "NVIDIA-H100-80GB-HBM3"}}
GANG: dict[str, Any] = {"resources": {"nodes": 2, **GPU}, "workspace": {"claimName": "shared"}}


@pytest.mark.parametrize(
    ("policy", "spec", "field", "rule"),
    [
        ({"accelerators": {"maxPerRun": 7}}, GANG, "spec.resources.accelerator.count", "accelerators.maxPerRun"),
        ({"maxNodes": 1}, GANG, "spec.resources.nodes", "maxNodes"),
        ({"accelerators": {"products": ["NVIDIA-A*"]}}, GANG, "spec.resources.accelerator.product", "products"),
        ({"accelerators": {"products": ["NVIDIA-H*"]}}, {}, "spec.resources.accelerator.product", "products"),
        (
            {"accelerators": {"resourceNames": ["amd.com/gpu"]}},
            {},
            "spec.resources.accelerator.resourceName",
            "resourceNames",
        ),
        ({"uris": {"schemes": ["pvc"]}}, {}, "spec.model.uri", "uris.schemes"),
        ({"uris": {"prefixes": ["hf://Qwe", "pvc://"]}}, {}, "spec.model.uri", "uris.prefixes"),
        ({"workspace": {"maxSize": "10Gi"}}, {}, "spec.workspace.size", "workspace.maxSize"),
        (
            {"workspace": {"storageClasses": ["slow"]}},
            {"workspace": {"storageClassName": "fast"}},
            "spec.workspace.storageClassName",
            "storageClasses",
        ),
        (
            {"priorityClasses": ["batch"]},
            {"scheduling": {"priorityClassName": "system"}},
            "spec.scheduling.priorityClassName",
            "priorityClasses",
        ),
        ({"queues": []}, {"scheduling": {"queueName": "a"}}, "spec.scheduling.queueName", "queues"),
        ({"requireQueue": True}, {}, "spec.scheduling.queueName", "requireQueue"),
        ({"serviceAccounts": []}, {"pod": {"serviceAccountName": "a"}}, "spec.pod.serviceAccountName", "serviceAcc"),
        ({"runtimeClasses": ["b"]}, {"pod": {"runtimeClassName": "a"}}, "spec.pod.runtimeClassName", "runtimeClasses"),
        (
            {"limits": [{"namespaces": ["te*"], "concurrentAccelerators": 7}]},
            GANG,
            "spec.resources.accelerator",
            "limits.concurrentAccelerators",
        ),
    ],
)
def test_a_refusal_names_field_rule_and_whom_to_ask(
    policy: dict[str, Any], spec: dict[str, Any], field: str, rule: str
) -> None:
    found = plan(fine_tune_job(**spec), SETTINGS, {}, Policy.model_validate(policy | {"contact": "#gpu-help"}))
    assert isinstance(found, Refusal)
    assert (found.reason, found.field) == ("PolicyViolation", field)
    assert rule in found.message
    assert found.message.endswith("ask #gpu-help")


def test_what_the_policy_allows_is_planned() -> None:
    policy = Policy.model_validate(
        {
            "accelerators": {"maxPerRun": 8, "products": ["NVIDIA-H100*"], "resourceNames": ["nvidia.com/gpu"]},
            "maxNodes": 2,
            "uris": {"schemes": ["hf", "pvc"], "prefixes": ["hf://Qwen", "pvc://"]},
            "limits": [{"namespaces": ["other"], "concurrentAccelerators": 1}],
        }
    )
    assert isinstance(plan(fine_tune_job(**GANG), SETTINGS, {}, policy), Plan)


def test_a_run_that_was_accepted_is_left_alone() -> None:
    policy = Policy.model_validate({"uris": {"schemes": []}})
    assert isinstance(plan(fine_tune_job(), SETTINGS, {}, policy), Refusal)
    assert isinstance(plan(fine_tune_job(stored()), SETTINGS, {}, policy), Plan)


def test_the_mistakes_of_the_spec_are_told_as_well() -> None:
    found = plan(fine_tune_job(resources={"cpu": "0"}), SETTINGS, {}, Policy.model_validate({"requireQueue": True}))
    assert isinstance(found, Refusal)
    assert "requireQueue" in found.message
    assert "0 cores" in found.message


def test_the_sources_of_an_evaluation_are_looked_at_too() -> None:
    other = {"name": "other", "model": {"uri": "s3://elsewhere/model"}}
    task = {"name": "t", "type": "Perplexity", "dataset": {"uri": "pvc://d/x.jsonl"}}
    policy = Policy.model_validate({"uris": {"schemes": ["hf", "pvc"]}})
    found = plan(fine_tune_job(evaluation={"spec": {"tasks": [task], "candidates": [other]}}), SETTINGS, {}, policy)
    assert isinstance(found, Refusal)
    assert found.field == "spec.evaluation.spec.candidates[0].model.uri"


def run(name: str, created: int, **more: Any) -> RunUsage:
    uid = more.pop("uid", name)
    fields = {"accelerators": 1, "started": False, "waiting": True} | more
    return RunUsage(name, uid, f"2026-11-24T12:00:{created:02d}Z", **fields)


def reason(limit: dict[str, Any], others: list[RunUsage], **mine: Any) -> str | None:
    subject = fine_tune_job()
    decided = plan(subject, SETTINGS)
    assert isinstance(decided, Plan)
    me = run("bot", 30, **({"uid": UID} | mine))
    entry = NamespaceLimit.model_validate({"namespaces": ["*"]} | limit)
    found = applied(decided, entry, me, others, NOW)
    return found.waiting.message if found.waiting else None


BUSY = {"started": True, "waiting": False}


def test_a_full_namespace_says_who_is_before() -> None:
    told = reason({"concurrentRuns": 1}, [run("a", 40, **BUSY)])
    assert told is not None
    assert "1 runs at a time" in told
    assert "by a" in told
    assert reason({"concurrentRuns": 2}, [run("a", 40, **BUSY)]) is None


def test_of_two_that_wait_just_the_older_goes() -> None:
    assert reason({"concurrentRuns": 1}, [run("later", 31)]) is None
    assert reason({"concurrentRuns": 1}, [run("earlier", 29)]) is not None


@pytest.mark.parametrize(("uid", "waits"), [("0", True), ("f", False)])
def test_in_the_same_second_the_uid_decides(uid: str, waits: bool) -> None:
    assert (reason({"concurrentRuns": 1}, [run("twin", 30, uid=uid)]) is not None) is waits


def test_accelerators_are_added_up() -> None:
    others = [run("a", 1, accelerators=6, **BUSY)]
    assert reason({"concurrentAccelerators": 8}, others, accelerators=2) is None
    told = reason({"concurrentAccelerators": 8}, others, accelerators=3)
    assert told is not None
    assert "6 of 8 accelerators" in told
    assert "needs 3" in told
    assert reason({"concurrentAccelerators": 6}, others, accelerators=0) is None


def test_hours_of_the_window_are_added_up() -> None:
    gone = {"started": False, "waiting": False, "accelerator_seconds": 36000}
    recent, old = NOW - timedelta(days=2), NOW - timedelta(days=8)
    limit = {"acceleratorHours": 10, "days": 7}
    assert reason(limit, [run("a", 1, ended=recent, **gone)]) is not None
    assert reason(limit, [run("a", 1, ended=old, **gone)]) is None
    assert reason(limit, [run("a", 1, ended=recent, **gone)], accelerators=0) is None


def test_what_is_suspended_or_over_holds_nothing() -> None:
    assert usage_of(fine_tune_job(stored(epoch=1)), ended=None).started
    failed = [{"type": "Failed", "status": "True", "reason": "X", "lastTransitionTime": "2026-11-24T12:00:00Z"}]
    over = usage_of(fine_tune_job({"epoch": 1, "conditions": failed}), ended=NOW)
    assert not over.started
    assert not over.waiting


def test_what_the_run_used_before_it_was_suspended_counts_too() -> None:
    assert reason({"acceleratorHours": 10}, [], accelerator_seconds=35999) is None
    assert reason({"acceleratorHours": 10}, [], accelerator_seconds=36000) is not None


def test_a_run_that_can_never_start_keeps_nobody_waiting() -> None:
    """The limit was lowered after the older run was accepted."""
    limit = {"concurrentRuns": 1, "concurrentAccelerators": 4}
    assert reason(limit, [run("huge", 1, accelerators=8)]) is None
    told = reason(limit, [], accelerators=8)
    assert told is not None
    assert "8 accelerators are more than the 4" in told
    spent = [run("done", 1, started=False, waiting=False, accelerator_seconds=3600), run("older", 2)]
    assert reason({"acceleratorHours": 1, "concurrentRuns": 1}, spent, accelerators=0) is None


def test_a_suspended_run_gives_its_place_back_when_its_pods_have_ended() -> None:
    def entries(progressing: str) -> list[dict[str, str]]:
        at = "2026-11-24T12:00:00Z"
        running = {"type": "Running", "status": "False", "reason": "Suspended", "lastTransitionTime": at}
        return [running, {"type": "Progressing", "status": progressing, "reason": "X", "lastTransitionTime": at}]

    def usage(progressing: str, *, suspend: bool) -> tuple[bool, bool]:
        job = fine_tune_job(stored(conditions=entries(progressing)), suspend=suspend)
        found = usage_of(job, ended=None)
        return found.started, found.waiting

    assert usage("True", suspend=True) == (True, False)
    assert usage("False", suspend=True) == (False, False)
    assert usage("False", suspend=False) == (False, True), "resumed: it wants a place again"


@pytest.mark.parametrize("text", ["maxNode: 2", "- a", "a: [", "limits: [{concurrentRuns: 1}]"])
def test_a_document_with_a_mistake_is_no_policy(text: str) -> None:
    with pytest.raises(ValueError, match=r"YAML|Policy"):
        parse_policy(text)


def test_the_document_is_read_anew_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    """A ConfigMap that is mounted changes by another target of a link."""
    now = [0.0]
    for name, text in (("one", "maxNodes: 1"), ("two", "maxNodes: 2"), ("bad", "maxNodes: many")):
        (tmp_path / name).write_text(text)
    link = tmp_path / "policy.yaml"

    def swap(name: str, seconds: float) -> int | None:
        (tmp_path / "new").symlink_to(tmp_path / name)
        (tmp_path / "new").rename(link)
        now[0] += seconds
        return file.current.max_nodes

    link.symlink_to(tmp_path / "one")
    file = PolicyFile(str(link), lambda: now[0])
    assert file.current.max_nodes == 1
    assert swap("two", 1) == 1, "not looked at again so soon"
    assert swap("two", 5) == 2
    assert swap("bad", 5) == 2
    assert file.problem is not None
    assert "not valid" in file.problem
    assert not file.valid
    assert swap("one", 5) == 1
    assert file.problem is None
    link.unlink()
    now[0] += 5
    assert not file.valid
    assert file.current.max_nodes == 1, "it stays in force while it cannot be read"
    link.symlink_to(tmp_path / "one")
    now[0] += 5
    assert file.valid


def test_an_operator_does_not_start_with_a_policy_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("maxNode: 1")
    with pytest.raises(ValueError, match=r"the policy in .*policy\.yaml is not valid"):
        Settings.load({"KUBETUNE_POLICY": str(tmp_path / "policy.yaml")})


def test_a_place_allowed_by_its_prefix_ends_with_a_whole_step() -> None:
    policy = Policy.model_validate({"uris": {"prefixes": ["hf://Qwen", "pvc://datasets"]}})
    assert isinstance(plan(fine_tune_job(), SETTINGS, {}, policy), Plan)
    near = fine_tune_job(model=MODEL | {"uri": "hf://Qwen-evil/model"})
    assert isinstance(plan(near, SETTINGS, {}, policy), Refusal)
