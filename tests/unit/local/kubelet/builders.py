"""Pods, and an API server of two dictionaries, for tests of the kubelet."""

import asyncio
from collections.abc import Callable
from typing import Any

from kubetune_local.client import ApiError, Resource

JSON = dict[str, Any]
UID = "5d1f0c6e-0000-4000-8000-000000000001"


def pod(*containers: JSON, initial: list[JSON] | None = None, volumes: list[JSON] | None = None, **spec: Any) -> JSON:
    """Return a pod that is bound to the node `local`."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "p",
            "namespace": "default",
            "uid": UID,
            "labels": {"team": "a"},
            "annotations": {"note": 'say "hi"'},
        },
        "spec": {
            "nodeName": "local",
            "restartPolicy": "Never",
            "containers": list(containers) or [container()],
            **({"initContainers": initial} if initial else {}),
            **({"volumes": volumes} if volumes else {}),
            **spec,
        },
        "status": {"phase": "Pending"},
    }


def container(*command: str, name: str = "c", **spec: Any) -> JSON:
    """Return a container."""
    return {"name": name, "image": "none", "command": list(command) or ["true"], **spec}


def shell(script: str, **spec: Any) -> JSON:
    """Return a container that runs a shell script."""
    return container("sh", "-c", script, **spec)


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Return when the condition holds. Raises `TimeoutError` when it does not in time."""
    async with asyncio.timeout(seconds):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


class FakeApi:
    """Answers GET of objects it was given, and remembers what was written."""

    def __init__(self, *objects: tuple[str, str, JSON]) -> None:
        self.objects = {(plural, name): obj for plural, name, obj in objects}
        self.statuses: list[JSON] = []
        self.events: list[JSON] = []
        self.deleted: list[str] = []

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> JSON:
        try:
            return self.objects[(resource.plural, name)]
        except KeyError:
            raise ApiError(404, "NotFound", f'{resource.plural} "{name}" not found') from None

    async def create(
        self,
        resource: Resource,
        body: JSON,
        namespace: str | None = None,
        subresource: str | None = None,
        name: str | None = None,
    ) -> JSON:
        if subresource == "token":
            return {"status": {"token": f"token-of-{name}"}}
        self.events.append(body)
        return body

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: JSON,
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        content_type: str = "",
    ) -> JSON:
        if subresource == "status":
            self.statuses.append(body["status"])
        return body

    async def delete(self, resource: Resource, name: str, namespace: str | None = None, **options: Any) -> JSON:
        self.deleted.append(name)
        return {}
