"""What a test holds in its hands: a namespace of its own in a running cluster, and verbs to act and to wait."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml

from cluster.harness.operator import Operator
from cluster.harness.worlds import LocalWorld, World, kubectl_path
from kubetune_api import names
from kubetune_api.crdgen import KINDS, custom_resource_definition
from kubetune_local.client import CLAIMS, CONFIGMAPS, CRDS, EVENTS, JOBS, NODES, PODS, ApiError, KubeClient, Resource
from kubetune_local.kubeconfig import load_kubeconfig

JSON = dict[str, Any]
T = TypeVar("T")

APPLY = "application/apply-patch+yaml"
FINE_TUNE_JOBS = Resource("kubetune.io", "v1alpha1", "finetunejobs", "FineTuneJob")
EVAL_RUNS = Resource("kubetune.io", "v1alpha1", "evalruns", "EvalRun")
SERVICES = Resource("", "v1", "services", "Service")
_ALL = (FINE_TUNE_JOBS, EVAL_RUNS, PODS, JOBS, CONFIGMAPS, CLAIMS, SERVICES, NODES, EVENTS, CRDS)
KNOWN = {each.kind: each for each in _ALL}
DEADLINE = 60.0


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


class ClusterUnderTest:
    """One test's view of a world."""

    def __init__(self, world: World, operator: Operator, client: KubeClient, namespace: str) -> None:
        self.world = world
        self.operator = operator
        self.client = client
        self.namespace = namespace

    # Act.

    async def apply(self, manifest: str | JSON) -> JSON:
        """Server-side apply one object into the test's namespace; returns it."""
        document: JSON = yaml.safe_load(manifest) if isinstance(manifest, str) else manifest
        resource = KNOWN[document["kind"]]
        meta = {"namespace": self.namespace, **document["metadata"]} if resource.namespaced else document["metadata"]
        path = resource.path(self.namespace if resource.namespaced else None, meta["name"])
        made: JSON = await self.client.request(
            "PATCH",
            path,
            body={**document, "metadata": meta},
            params={"fieldManager": "test", "force": "true", "fieldValidation": "Strict"},
            content_type=APPLY,
        )
        return made

    async def create(self, manifest: JSON) -> JSON:
        """POST one object into the test's namespace; returns it."""
        return await self.client.create(KNOWN[manifest["kind"]], manifest, self.namespace)

    async def patch(self, kind: str, name: str, body: JSON) -> JSON:
        """Merge-patch one object; returns it."""
        return await self.client.patch(KNOWN[kind], name, body, self.namespace)

    async def delete(self, kind: str, name: str, propagation: str = "Background") -> None:
        """Delete one object; its children follow as `propagation` says."""
        await self.client.delete(KNOWN[kind], name, self.namespace, propagation=propagation)

    async def kubectl(self, *arguments: str, text: str | None = None, check: bool = True) -> Answer:
        """Run kubectl in the test's namespace; `text` is its standard input."""
        program = kubectl_path()
        assert program is not None, "kubectl is neither on the PATH nor in $KUBEBUILDER_ASSETS"
        home = str(self.world.directory)
        process = await asyncio.create_subprocess_exec(
            program,
            *("--kubeconfig", str(self.world.kubeconfig), "--namespace", self.namespace, *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"HOME": home, "KUBECONFIG": ""},
        )
        out, err = await asyncio.wait_for(process.communicate(text.encode() if text else b""), DEADLINE)
        answer = Answer(process.returncode or 0, out.decode(), err.decode())
        assert answer.code == 0 or not check, f"kubectl {' '.join(arguments)}: {answer.err}"
        return answer

    async def kill_trainer(self, pod: JSON) -> None:
        """SIGKILL the trainer of a running pod (clusters of this machine only)."""
        assert isinstance(self.world, LocalWorld)
        container = pod["spec"]["containers"][0]["name"]
        await asyncio.to_thread(self.world.kill_container, pod["metadata"]["uid"], container)

    async def restart_world(self, *, crash: bool = False) -> None:
        """Stop the whole cluster, as `kubetune local down` or as a crash would, and start it again."""
        assert isinstance(self.world, LocalWorld)
        await asyncio.to_thread(self.world.kill if crash else self.world.stop)
        await asyncio.to_thread(self.world.start)

    # Look.

    async def get(self, kind: str, name: str) -> JSON | None:
        """Return an object, or None when it does not exist."""
        try:
            return await self.client.get(KNOWN[kind], name, self.namespace)
        except ApiError as error:
            if error.not_found:
                return None
            raise

    async def list(self, kind: str, labels: Mapping[str, str] | None = None) -> list[JSON]:
        """Return the objects of a kind in the test's namespace, the oldest first."""
        selector = ",".join(f"{key}={value}" for key, value in (labels or {}).items())
        items, _ = await self.client.list(KNOWN[kind], self.namespace, label_selector=selector or None)
        return sorted(items, key=lambda item: (item["metadata"]["creationTimestamp"], item["metadata"]["name"]))

    async def children(self, kind: str, owner: JSON, stage: str | None = None) -> list[JSON]:
        """Return the Jobs, Pods, ConfigMaps or claims that were made for an object, of one stage when told."""
        labels = {names.LABEL_OWNER_UID: owner["metadata"]["uid"]}
        return await self.list(kind, labels | ({names.LABEL_STAGE: stage} if stage else {}))

    # Wait.

    async def wait_for(
        self, kind: str, name: str, holds: Callable[[JSON | None], object], deadline: float = DEADLINE
    ) -> JSON:
        """Watch one object until `holds(object, or None when it does not exist)`; returns its last state."""
        found = await self.client.wait_for(KNOWN[kind], name, self.namespace, lambda obj: bool(holds(obj)), deadline)
        return found or {}

    async def wait_until(
        self, condition: Callable[[], Awaitable[T]], deadline: float = DEADLINE, what: str = "the condition"
    ) -> T:
        """Ask again and again until the answer is true; returns it. Raises `AssertionError` after the deadline."""
        end = time.monotonic() + deadline
        while True:
            answer = await condition()
            if answer:
                return answer
            assert time.monotonic() < end, f"{what}: not after {deadline:g} s; the last answer was {answer!r}"
            await asyncio.sleep(0.05)

    async def finished(self, kind: str, name: str, deadline: float = DEADLINE) -> JSON:
        """Wait until a run has ended, well or badly; returns it."""
        return await self.wait_for(kind, name, ended, deadline)

    async def succeeded(self, kind: str, name: str, deadline: float = DEADLINE) -> JSON:
        """Wait until a run has ended, and assert that it ended well."""
        obj = await self.finished(kind, name, deadline)
        assert condition_of(obj, "Succeeded")["status"] == "True", json.dumps(obj["status"]["conditions"], indent=1)
        return obj


def condition_of(obj: JSON | None, kind: str) -> JSON:
    """Return a condition of an object, or one that is Unknown."""
    conditions = ((obj or {}).get("status") or {}).get("conditions") or []
    unknown = {"type": kind, "status": "Unknown", "reason": "", "message": ""}
    return next((each for each in conditions if each["type"] == kind), unknown)


def ended(obj: JSON | None) -> bool:
    """Tell whether a run has ended, well or badly."""
    return condition_of(obj, "Succeeded")["status"] in ("True", "False")


async def install_definitions(client: KubeClient) -> None:
    """Apply the definitions of both kinds and wait until the API server serves them."""
    for kind in KINDS:
        body = custom_resource_definition(kind)
        path = CRDS.path(None, body["metadata"]["name"])
        params = {"fieldManager": "test", "force": "true"}
        await client.request("PATCH", path, body=body, params=params, content_type=APPLY)
    for resource in (FINE_TUNE_JOBS, EVAL_RUNS):
        await asyncio.wait_for(_served(client, resource), DEADLINE)


async def _served(client: KubeClient, resource: Resource) -> None:
    while True:
        try:
            await client.list(resource, "default")
        except ApiError as error:
            if error.code not in (404, 429, 503):
                raise
            await asyncio.sleep(0.05)
        else:
            return


@contextmanager
def running(made: World) -> Iterator[World]:
    """Bring a world up with our definitions, and take it down in the end."""

    async def install() -> None:
        async with KubeClient(load_kubeconfig(made.kubeconfig)) as client:
            await install_definitions(client)

    try:
        made.start()
        asyncio.run(install())
        yield made
    finally:
        made.stop()
