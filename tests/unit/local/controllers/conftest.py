"""API servers that the controllers run against: the embedded one, and a real one where there is one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from control_plane import ControlPlane, control_plane, is_available
from kubetune_local.apiserver.server import ApiServer
from kubetune_local.client import NAMESPACES, SERVICE_ACCOUNTS, ApiError, KubeClient, Resource
from kubetune_local.controllers.run import run
from kubetune_local.kubeconfig import KubeConfig, load_kubeconfig

JSON = dict[str, Any]
WORLDS = ["embedded", "control-plane"] if is_available() else ["embedded"]
OURS = ("claims", "volumes", "garbage", "namespaces", "finished-jobs", "lost-pods")
SECONDS = 20.0


class World:
    """A client of an API server with controllers at work, and a namespace of its own."""

    def __init__(self, client: KubeClient, namespace: str, folder: Path) -> None:
        self.client, self.namespace, self.folder = client, namespace, folder

    async def create(self, resource: Resource, name: str, **body: Any) -> JSON:
        """Create an object, in the namespace if it belongs in one."""
        meta: JSON = {"name": name, **body.pop("metadata", {})}
        full = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, **body}
        return await self.client.create(resource, full, self.namespace if resource.namespaced else None)

    async def find(self, resource: Resource, name: str) -> JSON | None:
        """Read an object, or None."""
        try:
            return await self.client.get(resource, name, self.namespace if resource.namespaced else None)
        except ApiError as error:
            if error.not_found:
                return None
            raise

    async def until(
        self, resource: Resource, name: str, holds: Callable[[JSON | None], bool], seconds: float = SECONDS
    ) -> JSON:
        """Wait for a state of an object; a deleted one is returned as {}."""
        namespace = self.namespace if resource.namespaced else None
        return await self.client.wait_for(resource, name, namespace, holds, seconds) or {}

    async def until_gone(self, resource: Resource, name: str, seconds: float = SECONDS) -> None:
        """Wait until an object is gone."""
        await self.until(resource, name, lambda found: found is None, seconds)


@pytest.fixture(scope="session")
def bare_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane | None]:
    """A real API server without controllers, if there is one."""
    if not is_available():
        yield None
        return
    with control_plane(Path(tmp_path_factory.mktemp("bare"))) as running:
        yield running


@asynccontextmanager
async def _config(kind: str, plane: ControlPlane | None) -> AsyncIterator[KubeConfig]:
    if kind == "embedded":
        server = ApiServer()
        yield KubeConfig(await server.start(), token=server.token)
        await server.stop()
    else:
        assert plane is not None
        yield load_kubeconfig(plane.kubeconfig("admin", plane.token))


@pytest.fixture(params=WORLDS)
async def world(
    request: pytest.FixtureRequest, bare_plane: ControlPlane | None, tmp_path: Path
) -> AsyncIterator[World]:
    """An API server with our controllers but for those of Jobs and of places."""
    async with _config(request.param, bare_plane) as config, KubeClient(config) as client:
        ready = asyncio.Event()
        volumes = tmp_path / "volumes"
        task = asyncio.create_task(run(client, volumes_dir=volumes, which=OURS, ready=ready))
        await asyncio.wait_for(ready.wait(), 30)
        made = await client.create(NAMESPACES, {"metadata": {"generateName": "test-"}})
        world = World(client, made["metadata"]["name"], volumes)
        await world.until(SERVICE_ACCOUNTS, "default", lambda found: found is not None)
        yield world
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
