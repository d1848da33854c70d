"""What must hold when things go well, and when they do not: never a second Job, never lost work, never two writers."""

from __future__ import annotations

import re

import pytest

from e2e.conftest import World
from e2e.harness.cluster import JSON
from e2e.harness.shell import until
from e2e.harness.team import STEPS, condition, step_of

EVALUATION: JSON = {
    "tasks": [{"name": "surprise", "type": "Perplexity", "dataset": {"uri": "pvc://inputs/held-out.jsonl"}}],
    "comparison": {"resamples": 400},
    "gates": [{"name": "learnt", "metric": "surprise/perplexity", "improvesBy": "0"}],
}
#: With the base image; there is no deep-learning library in it.
OPERATOR_MEGABYTES = 250


def assert_trained_once(world: World, name: str) -> None:
    """Every step has been trained exactly once, by what the workspace holds."""
    losses = [line["step"] for line in world.team.workspace(name)["steps"] if "loss" in line]
    assert losses == list(range(1, STEPS + 1))


def resumed_at(log: str) -> int:
    """Return the step at which a trainer says that it went on."""
    found = re.search(rf"Resuming at step (\d+) of {STEPS}", log)
    assert found, f"it began anew:\n{log[-2000:]}"
    return int(found[1])


def jobs_of(world: World, name: str) -> list[str]:
    """Return the UIDs of all Jobs that ever trained."""
    return [each["metadata"]["uid"] for each in world.team.record.children("jobs", name)]


def attempts_of(job: JSON) -> list[JSON]:
    """Return the attempts at training."""
    return [each for each in job["status"].get("attempts", []) if each["stage"] == "train"]


def test_the_image_of_the_operator_is_small(world: World) -> None:
    assert world.operator.megabytes <= OPERATOR_MEGABYTES
    world.note(f"{world.operator.megabytes:.0f} MB")


def test_a_tuned_model_is_compared_with_its_base_and_reported(world: World) -> None:
    team = world.team
    team.apply_job("happy", evaluation={"spec": EVALUATION})
    status = team.succeeded("happy", 300)["status"]
    assert status["progress"]["step"] == status["progress"]["totalSteps"] == STEPS
    assert_trained_once(world, "happy")

    run = world.cluster.get("evalrun", status["evaluation"], team.namespace)
    assert run is not None
    assert condition(run, "Succeeded")["status"] == "True"
    assert [(gate["name"], gate["passed"]) for gate in run["status"]["gates"]] == [("learnt", True)]
    assert status["verdict"] == run["status"]["verdict"]
    pages = team.workspace("happy")["pages"]
    assert any(path.endswith(run["status"]["report"].rpartition("/")[2]) for path in pages), pages
    assert set(pages.values()) == {"<!doctype html>"}

    for stage in ("prepare", "train"):
        assert len(team.record.children("jobs", "happy", stage)) == 1
    for pod in team.record.children("pods", "happy"):
        assert pod["spec"]["automountServiceAccountToken"] is False
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
    world.note(status["verdict"])


def test_a_suspended_job_goes_on_where_it_was(world: World) -> None:
    team = world.team
    team.apply_job("suspended")
    step = team.trained("suspended", 8)
    pod = team.running_pod("suspended")["metadata"]["name"]
    team.suspend("suspended", True)
    until("the pod ends", lambda: world.cluster.get("pod", pod, team.namespace) is None, 90)
    team.wait_for("suspended", lambda job: job["status"]["phase"] == "Suspended", "is suspended", 60)
    assert not world.cluster.list("pods", team.namespace, "kubetune.io/name=suspended,kubetune.io/stage=train")

    team.suspend("suspended", False)
    again = until("another pod trains", lambda: _other_running(world, "suspended", pod), 120)
    resumed = resumed_at(until("it says where", lambda: _log_with(world, again, "Resuming"), 60))
    assert resumed >= step
    job = team.succeeded("suspended")
    assert job["status"]["runs"] == len(jobs_of(world, "suspended")) == 2
    assert_trained_once(world, "suspended")
    world.note(f"suspended at step {step}, resumed at {resumed}")


def test_another_operator_takes_over_when_the_leader_is_deleted(world: World) -> None:
    team = world.team
    team.apply_job("handed-over")
    team.trained("handed-over", 5)
    before = world.release.leader()
    assert before is not None
    world.cluster.kubectl("delete", "pod", before, "-n", "kubetune-system", "--wait=false")
    after = until("another pod leads", lambda: (now := world.release.leader()) != before and now, 60, pause=0.2)
    team.succeeded("handed-over")
    assert len(jobs_of(world, "handed-over")) == 1
    pods = team.record.children("pods", "handed-over")
    assert [pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods] == [0]
    assert_trained_once(world, "handed-over")
    world.note(f"{before} to {after}")


def test_a_deleted_pod_goes_on_at_its_checkpoint(world: World) -> None:
    team = world.team
    team.apply_job("deleted")
    step = team.trained("deleted", 12)
    pod = team.running_pod("deleted")["metadata"]["name"]
    world.cluster.kubectl("delete", "pod", pod, "-n", team.namespace, seconds=90)
    again = until("another pod trains", lambda: _other_running(world, "deleted", pod), 120)
    resumed = resumed_at(until("it says where", lambda: _log_with(world, again, "Resuming"), 60))
    assert resumed >= step
    job = team.succeeded("deleted")
    assert len(jobs_of(world, "deleted")) == 1
    assert len(attempts_of(job)) == 2
    assert_trained_once(world, "deleted")
    world.note(f"deleted at step {step}, resumed at {resumed}")


def _other_running(world: World, name: str, pod: str) -> str | None:
    pods = world.cluster.list("pods", world.team.namespace, f"kubetune.io/name={name},kubetune.io/stage=train")
    running = [each["metadata"]["name"] for each in pods if each["status"]["phase"] == "Running"]
    return next((each for each in running if each != pod), None)


def _log_with(world: World, pod: str, word: str) -> str | None:
    log = world.team.log(pod)
    return log if word in log else None


def test_a_container_out_of_memory_is_tried_again_with_half_the_micro_batch(world: World) -> None:
    team = world.team
    team.apply_job("starved")
    step = team.trained("starved", 8)
    before = team.job("starved")["status"]["resolved"]
    team.fill_memory(team.running_pod("starved")["metadata"]["name"], MEMORY_MEGABYTES)
    until("the container is killed for its memory", lambda: _oom_killed(world, "starved"), 60)
    job = team.succeeded("starved", 300)
    assert job["status"]["adjustments"]["microBatchDivisor"] == 2
    assert job["status"]["failures"] == 1
    first, second = attempts_of(job)
    assert (first["exitCode"], second["exitCode"]) == (137, 0)
    assert first["reason"] == "OutOfMemory"
    after = job["status"]["resolved"]
    assert after["microBatchTokens"] * 2 == before["microBatchTokens"]
    assert_trained_once(world, "starved")
    world.note(f"killed at step {step}; micro-batch {before['microBatchTokens']} to {after['microBatchTokens']} tokens")


#: More than a job's container may have.
MEMORY_MEGABYTES = 2400


def _oom_killed(world: World, name: str) -> str | None:
    for state in world.team.record.states("pods", name):
        for container in state["status"].get("containerStatuses", []):
            seen = [container.get(which, {}).get("terminated", {}) for which in ("state", "lastState")]
            if "OOMKilled" in [ended.get("reason") for ended in seen]:
                return str(state["metadata"]["name"])
    return None


def test_a_lost_node_costs_no_work_and_makes_no_second_writer(world: World) -> None:
    team = world.team
    team.apply_job("stranded")
    step = team.trained("stranded", 8)
    pod = team.running_pod("stranded")
    back = world.cluster.node_down(pod["spec"]["nodeName"])
    if back is None:
        pytest.skip("nobody said how a kubelet is stopped here: E2E_NODE_DOWN and E2E_NODE_UP")
    try:
        uid = pod["metadata"]["uid"]
        until("its attempt is given up", lambda: _given_up(world, "stranded", uid), 240)
        given_up_at = step_of(team.job("stranded"))
    finally:
        back()
    job = team.succeeded("stranded", 400)
    assert_trained_once(world, "stranded")
    assert job["status"].get("disruptions", 0) >= 1
    world.note(f"lost at step {step}, given up at {given_up_at}; {len(jobs_of(world, 'stranded'))} Jobs")


def _given_up(world: World, name: str, uid: str) -> bool:
    states = [each for each in world.team.record.children("pods", name) if each["metadata"]["uid"] == uid]
    successor = len(world.team.record.children("jobs", name)) > 1 or len(world.team.record.children("pods", name)) > 1
    return successor and bool(states)


def test_an_upgrade_of_the_operator_touches_nothing_that_runs(world: World) -> None:
    team = world.team
    upgraded = world.builder.operator("next")
    assert upgraded.tag != world.operator.tag
    world.cluster.load(upgraded.archive)
    team.apply_job("upgraded")
    step = team.trained("upgraded", 5)
    pod = team.running_pod("upgraded")["metadata"]["uid"]
    world.release.install(upgraded)
    now = step_of(team.job("upgraded"))
    assert now < STEPS, "the job was over before the operator was upgraded"
    team.succeeded("upgraded")
    for stage in ("prepare", "train"):
        assert len(team.record.children("jobs", "upgraded", stage)) == 1
    pods = team.record.children("pods", "upgraded")
    assert [each["metadata"]["uid"] for each in pods] == [pod]
    assert [each["status"]["containerStatuses"][0]["restartCount"] for each in pods] == [0]
    assert_trained_once(world, "upgraded")
    world.note(f"{world.operator.tag} to {upgraded.tag} between steps {step} and {now}: 0 Jobs, 0 restarts")
