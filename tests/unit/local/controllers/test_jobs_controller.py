"""The Job controller against an API server whose requests or answers get lost; the tests play the kubelet."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kubetune_local.client import JOBS, PODS, KubeClient
from kubetune_local.controllers.jobs.view import FINALIZER
from kubetune_local.controllers.run import run

JSON = dict[str, Any]
World = Any

POD = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "none"}]}}


class Lossy:
    """A client that loses one of its writes: the request, or the answer to it."""

    def __init__(self, client: KubeClient, verb: str, number: int, *, answered: bool) -> None:
        self._client, self._verb, self._left, self._answered = client, verb, number, answered
        self.lost = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return self._losing(found) if name == self._verb else found

    def _losing(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def one(resource: Any, *arguments: Any, **options: Any) -> Any:
            if resource not in (PODS, JOBS):
                return await call(resource, *arguments, **options)
            self._left -= 1
            if self._left == 0:
                self.lost = True
                if self._answered:
                    await call(resource, *arguments, **options)
                raise ConnectionResetError("lost")
            return await call(resource, *arguments, **options)

        return one


@asynccontextmanager
async def controller(world: World, client: Any) -> AsyncIterator[None]:
    """Run the Job controller, and nothing else."""
    job = run(client, volumes_dir=world.folder, which=("jobs",), back_off_seconds=0.05)
    task = asyncio.create_task(job)
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def pods_of(world: World) -> list[JSON]:
    """Return the pods, the oldest first."""
    pods, _ = await world.client.list(PODS, world.namespace)
    return sorted(pods, key=lambda each: (each["metadata"]["creationTimestamp"], each["metadata"]["name"]))


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Ask until the answer is true; return it."""
    async with asyncio.timeout(seconds):
        while True:
            if answer := await condition():
                return answer
            await asyncio.sleep(0.02)


async def end_pods(world: World, phase: str, seen: set[str], most: int = 99) -> None:
    """End pods as they come."""
    while True:
        for pod in (await pods_of(world))[:most]:
            seen.add(pod["metadata"]["uid"])
            if pod["status"]["phase"] == "Pending":
                body = {"status": {"phase": phase}}
                await world.client.patch(PODS, pod["metadata"]["name"], body, world.namespace, subresource="status")
        await asyncio.sleep(0.02)


def over(found: JSON | None) -> bool:
    """Tell whether a Job has ended."""
    conditions = ((found or {}).get("status") or {}).get("conditions") or []
    return any(entry["type"] in ("Complete", "Failed") for entry in conditions)


@pytest.mark.parametrize("answered", [False, True], ids=["request", "answer"])
@pytest.mark.parametrize(
    ("verb", "number"), [("create", 1), ("create", 3), ("replace", 2), ("replace", 3), ("patch", 2)]
)
async def test_each_pod_is_made_and_counted_once_whatever_gets_lost(
    world: World, verb: str, number: int, answered: bool
) -> None:
    client, seen = Lossy(world.client, verb, number, answered=answered), set[str]()
    async with controller(world, client):
        kubelet = asyncio.create_task(end_pods(world, "Succeeded", seen))
        await world.create(JOBS, "j", spec={"template": POD, "parallelism": 2, "completions": 3})
        found = await world.until(JOBS, "j", over)
        kubelet.cancel()
    assert client.lost
    assert found["status"]["succeeded"] == len(seen) == 3
    assert found["status"]["uncountedTerminatedPods"] == {}
    assert not any(FINALIZER in pod["metadata"].get("finalizers", ()) for pod in await pods_of(world))


@pytest.mark.parametrize("answered", [False, True], ids=["request", "answer"])
async def test_a_failed_job_stops_its_pods_even_when_a_deletion_gets_lost(world: World, answered: bool) -> None:
    client = Lossy(world.client, "delete", 1, answered=answered)
    async with controller(world, client):
        await world.create(JOBS, "j", spec={"template": POD, "parallelism": 3, "completions": 3, "backoffLimit": 0})
        first, *_ = await until(lambda: _so_many(world, 3))
        body = {"status": {"phase": "Failed"}}
        await world.client.patch(PODS, first["metadata"]["name"], body, world.namespace, subresource="status")
        found = await world.until(JOBS, "j", over)
    assert client.lost
    assert found["status"]["conditions"][-1]["reason"] == "BackoffLimitExceeded"
    assert (found["status"]["failed"], found["status"]["terminating"]) == (3, 0)


@pytest.mark.parametrize(("propagation", "left"), [("Background", 0), ("Orphan", 2)])
async def test_pods_of_a_job_that_went_while_nobody_looked_are_released(
    world: World, propagation: str, left: int
) -> None:
    async with controller(world, world.client):
        await world.create(JOBS, "j", spec={"template": POD, "parallelism": 2, "completions": 2})
        await until(lambda: _so_many(world, 2))
    await world.client.delete(JOBS, "j", world.namespace, propagation=propagation)
    await world.until_gone(JOBS, "j")
    async with controller(world, world.client):
        await until(lambda: _are_free(world, left))


async def test_another_controller_of_jobs_is_left_alone(world: World) -> None:
    async with controller(world, world.client):
        await world.create(JOBS, "theirs", spec={"template": POD, "managedBy": "example.com/queue"})
        await world.create(JOBS, "ours", spec={"template": POD})
        (pod,) = await until(lambda: _so_many(world, 1))
    assert pod["metadata"]["ownerReferences"][0]["name"] == "ours"


async def _so_many(world: World, number: int) -> list[JSON] | None:
    pods = await pods_of(world)
    return pods if len(pods) == number else None


async def _are_free(world: World, number: int) -> bool:
    pods = await pods_of(world)
    return len(pods) == number and not any(FINALIZER in pod["metadata"].get("finalizers", ()) for pod in pods)
