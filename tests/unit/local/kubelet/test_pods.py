"""The life of a pod: containers in order, restarts, deletion, deadlines, and the status all along."""

import asyncio
import os
from pathlib import Path
from typing import Any

from kubetune_local.kubelet.environment import inherited
from kubetune_local.kubelet.logfile import last_lines
from kubetune_local.kubelet.pod import PodWorker
from kubetune_local.kubelet.settings import KubeletSettings
from kubetune_local.kubelet.status import Ending
from kubetune_local.recorder import EventRecorder
from unit.local.kubelet.builders import FakeApi, container, pod, shell, until

JSON = dict[str, Any]


def worker(tmp_path: Path, obj: JSON, api: Any = None, **settings: Any) -> PodWorker:
    api = api or FakeApi()
    chosen = KubeletSettings(tmp_path, back_off_seconds=0.05, retry_seconds=0.02, **settings)
    (tmp_path / "alive").touch()
    return PodWorker(obj, api, EventRecorder(api, "kubelet"), chosen, {"cpu": "2"}, inherited(os.environ))


async def run(tmp_path: Path, obj: JSON) -> JSON:
    """Run a pod to its end and return its last status."""
    api = FakeApi()
    await asyncio.wait_for(worker(tmp_path, obj, api).run(), 20)
    return api.statuses[-1]


def ended(status: JSON, index: int = 0) -> JSON:
    found: JSON = status["containerStatuses"][index]["state"]["terminated"]
    return found


def condition(status: JSON, kind: str) -> JSON:
    return next(each for each in status["conditions"] if each["type"] == kind)


def running(api: FakeApi) -> bool:
    return bool(api.statuses) and api.statuses[-1]["phase"] == "Running"


def ready(one: PodWorker) -> bool:
    """The container has said so: its traps are set."""
    latest = one.containers[0].latest
    return latest is not None and last_lines(latest.log, 1) == ["ready"]


async def test_a_pod_whose_containers_end_well_succeeds(tmp_path: Path) -> None:
    status = await run(tmp_path, pod(shell("exit 0")))
    assert status["phase"] == "Succeeded"
    assert ended(status)["reason"] == "Completed"
    assert condition(status, "Ready")["reason"] == "PodCompleted"
    assert condition(status, "Initialized")["status"] == "True"


async def test_one_failed_container_fails_the_pod(tmp_path: Path) -> None:
    status = await run(tmp_path, pod(shell("exit 0"), shell("exit 65", name="d")))
    assert status["phase"] == "Failed"
    assert [ended(status, 0)["exitCode"], ended(status, 1)["exitCode"]] == [0, 65]


async def test_init_containers_run_one_after_the_other_before_the_rest(tmp_path: Path) -> None:
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/v"}], "workingDir": "/v"}
    first = shell("sleep 0.1; echo 1 >> order", name="i1", **mounts)
    second = shell("echo 2 >> order", name="i2", **mounts)
    last = shell("echo 3 >> order; cat order > $POD_TERMINATION_LOG", **mounts)
    status = await run(tmp_path, pod(last, initial=[first, second], volumes=[{"name": "v", "emptyDir": {}}]))
    assert ended(status)["message"] == "1\n2\n3\n"


async def test_a_failed_init_container_ends_the_pod(tmp_path: Path) -> None:
    status = await run(tmp_path, pod(shell("echo never"), initial=[shell("exit 1", name="i")]))
    assert status["phase"] == "Failed"
    assert condition(status, "Initialized")["status"] == "False"
    assert ended(status)["reason"] == "ContainerStatusUnknown"


async def test_on_failure_starts_again_until_it_ends_well(tmp_path: Path) -> None:
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/v"}], "workingDir": "/v"}
    again = shell("echo x >> tries; test $(wc -l < tries) = 3", **mounts)
    status = await run(tmp_path, pod(again, volumes=[{"name": "v", "emptyDir": {}}], restartPolicy="OnFailure"))
    assert status["phase"] == "Succeeded"
    entry = status["containerStatuses"][0]
    assert entry["restartCount"] == 2
    assert entry["lastState"]["terminated"]["exitCode"] == 1


async def test_a_deleted_pod_gets_sigterm_then_its_object_is_removed(tmp_path: Path) -> None:
    api = FakeApi()
    obj = pod(shell("trap 'exit 75' TERM; echo ready; while true; do sleep 0.05; done"))
    life = asyncio.create_task((one := worker(tmp_path, obj, api)).run())
    await until(lambda: ready(one))
    meta = obj["metadata"] | {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 10}
    one.update({**obj, "metadata": meta})
    await asyncio.wait_for(life, 10)
    assert api.statuses[-1]["phase"] == "Failed"
    assert ended(api.statuses[-1])["exitCode"] == 75
    assert api.deleted == ["p"]


async def test_a_container_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    api = FakeApi()
    obj = pod(shell("trap '' TERM; echo ready; sleep 60"))
    life = asyncio.create_task((one := worker(tmp_path, obj, api)).run())
    await until(lambda: ready(one))
    one.stop(0.3)
    await asyncio.wait_for(life, 10)
    assert ended(api.statuses[-1])["exitCode"] == 137


async def test_the_end_of_the_node_is_told_as_a_disruption(tmp_path: Path) -> None:
    api = FakeApi()
    life = asyncio.create_task((one := worker(tmp_path, pod(shell("sleep 60")), api)).run())
    await until(lambda: running(api))
    one.stop(5, Ending("Terminated", "node shutdown", disruption=True))
    await asyncio.wait_for(life, 10)
    status = api.statuses[-1]
    assert (status["phase"], status["reason"]) == ("Failed", "Terminated")
    assert condition(status, "DisruptionTarget")["reason"] == "TerminationByKubelet"


async def test_a_pod_past_its_deadline_fails(tmp_path: Path) -> None:
    status = await run(tmp_path, pod(shell("sleep 60"), activeDeadlineSeconds=1))
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")


async def test_waits_for_what_is_missing_and_says_so(tmp_path: Path) -> None:
    api = FakeApi()
    reference = {"configMapKeyRef": {"name": "late", "key": "k"}}
    obj = pod(shell("echo $V > $POD_TERMINATION_LOG", env=[{"name": "V", "valueFrom": reference}]))
    life = asyncio.create_task(worker(tmp_path, obj, api).run())
    await until(lambda: api.statuses)
    waiting = api.statuses[-1]["containerStatuses"][0]["state"]["waiting"]
    assert waiting == {"reason": "CreateContainerConfigError", "message": 'configmap "late" not found'}
    api.objects[("configmaps", "late")] = {"data": {"k": "here"}}
    await asyncio.wait_for(life, 10)
    assert ended(api.statuses[-1])["message"] == "here\n"


async def test_a_missing_volume_is_an_event_until_it_is_there(tmp_path: Path) -> None:
    api = FakeApi()
    obj = pod(shell("true"), volumes=[{"name": "v", "configMap": {"name": "late"}}])
    life = asyncio.create_task(worker(tmp_path, obj, api).run())
    await until(lambda: [event for event in api.events if event["reason"] == "FailedMount"])
    assert 'configmap "late" not found' in api.events[0]["message"]
    api.objects[("configmaps", "late")] = {"data": {}}
    await asyncio.wait_for(life, 10)
    assert api.statuses[-1]["phase"] == "Succeeded"


async def test_a_container_without_a_command_says_that_images_are_not_run(tmp_path: Path) -> None:
    api = FakeApi()
    life = asyncio.create_task((one := worker(tmp_path, pod({"name": "c", "image": "busybox"}), api)).run())
    await until(lambda: api.statuses)
    message = api.statuses[-1]["containerStatuses"][0]["state"]["waiting"]["message"]
    assert message == "images are not run here, processes are: give the container a command"
    one.stop(0)
    await asyncio.wait_for(life, 10)


async def test_a_kubelet_that_comes_back_goes_on_with_the_pod(tmp_path: Path) -> None:
    api, obj = FakeApi(), pod(shell("trap 'exit 7' TERM; echo ready; while true; do sleep 0.05; done"))
    first = asyncio.create_task((before := worker(tmp_path, obj, api)).run())
    await until(lambda: ready(before))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    second = asyncio.create_task((one := worker(tmp_path, obj, api)).run())
    await until(lambda: one.containers[0].running)
    one.stop(10)
    await asyncio.wait_for(second, 10)
    assert ended(api.statuses[-1])["exitCode"] == 7
    assert api.statuses[-1]["containerStatuses"][0]["restartCount"] == 0


async def test_processes_lost_with_the_node_are_a_disruption(tmp_path: Path) -> None:
    api = FakeApi()
    life = asyncio.create_task((one := worker(tmp_path, pod(container("sleep", "60")), api)).run())
    await until(lambda: running(api))
    attempt = one.containers[0].running
    assert attempt is not None
    assert attempt.pid is not None
    os.kill(attempt.pid, 9)
    await asyncio.wait_for(life, 10)
    status = api.statuses[-1]
    assert ended(status)["reason"] == "ContainerStatusUnknown"
    assert condition(status, "DisruptionTarget")["status"] == "True"


async def test_a_short_pod_costs_few_writes(tmp_path: Path) -> None:
    api = FakeApi()
    await asyncio.wait_for(worker(tmp_path, pod(shell("sleep 0.3")), api).run(), 10)
    assert [status["phase"] for status in api.statuses] == ["Running", "Succeeded"]
