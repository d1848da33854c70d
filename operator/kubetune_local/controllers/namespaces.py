"""Namespaces: each has a service account `default`, and a terminating one is emptied and let go."""

from __future__ import annotations

import asyncio
import copy
import logging

from kubetune_local.client import CRDS, JSON, NAMESPACES, PODS, SERVICE_ACCOUNTS, ApiError, KubeClient, Resource
from kubetune_local.informer import Informers, listening
from kubetune_local.workqueue import WorkQueue

log = logging.getLogger(__name__)

WORKERS = 3
LONGEST_PAUSE = 2.0
"""Seconds between two looks at a namespace whose content takes its time to end."""
FINALIZER = "kubernetes"
DEFAULT_ACCOUNT = "default"
_SELF_EMPTYING = {("", "events"), ("events.k8s.io", "events")}
"""Deleted, but not waited for: they have no life of their own, and new ones may be told to the end."""


class NamespaceController:
    """Gives each namespace its service account; empties the terminating ones."""

    def __init__(self, client: KubeClient, informers: Informers) -> None:
        self._client = client
        self._namespaces = informers.of(NAMESPACES)
        self._accounts = informers.of(SERVICE_ACCOUNTS)
        self._crds = informers.of(CRDS)
        self._pods = informers.of(PODS)
        self._queue: WorkQueue[str] = WorkQueue(longest_delay=LONGEST_PAUSE)

    async def run(self) -> None:
        """Work for ever."""
        handlers = (
            (self._namespaces, self._on_namespace),
            (self._accounts, self._on_content),
            (self._pods, self._on_content),
            (self._crds, self._on_definition),
        )
        try:
            with listening(*handlers):
                await asyncio.gather(*(self._queue.work(self._sync, "namespace") for _ in range(WORKERS)))
        finally:
            self._queue.stop()

    def _on_namespace(self, old: JSON | None, new: JSON | None) -> None:
        if new is not None:
            self._queue.add(new["metadata"]["name"])

    def _on_content(self, old: JSON | None, new: JSON | None) -> None:
        """What has gone may have been the last of its namespace; a lost account is made anew."""
        if new is None and old is not None:
            self._queue.add(old["metadata"]["namespace"])

    def _on_definition(self, old: JSON | None, new: JSON | None) -> None:
        for namespace in self._namespaces.items():
            if "deletionTimestamp" in namespace["metadata"]:
                self._queue.add(namespace["metadata"]["name"])

    async def _sync(self, name: str) -> None:
        namespace = self._namespaces.get(("", name))
        if namespace is None:
            return
        if "deletionTimestamp" not in namespace["metadata"]:
            await self._ensure_account(name)
            return
        if FINALIZER not in (namespace["spec"].get("finalizers") or ()):
            return
        if await self._empty(name):
            await self._finalize(namespace)
        else:
            self._queue.retry(name)

    async def _ensure_account(self, namespace: str) -> None:
        if self._accounts.get((namespace, DEFAULT_ACCOUNT)) is not None:
            return
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": DEFAULT_ACCOUNT}}
        try:
            self._accounts.observe(await self._client.create(SERVICE_ACCOUNTS, body, namespace))
        except ApiError as error:
            if not (error.conflict or error.not_found or error.code == 403):
                raise

    async def _empty(self, namespace: str) -> bool:
        """Delete what is left; return whether nothing is."""
        resources = [each for each in await self._client.discover() if each.namespaced]
        left = await asyncio.gather(*(self._delete_all(each, namespace) for each in resources))
        waits = [each.plural for each, count in zip(resources, left, strict=True) if count]
        if waits:
            log.debug("namespace %s still has %s", namespace, ", ".join(waits))
        return not waits

    async def _delete_all(self, resource: Resource, namespace: str) -> int:
        """Delete each object of a kind; return how many are still there that must be waited for."""
        try:
            items, _ = await self._client.list(resource, namespace)
        except ApiError as error:
            if error.not_found or error.code == 405:  # the kind was taken away meanwhile
                return 0
            raise
        doomed = [item for item in items if "deletionTimestamp" not in item["metadata"]]
        gone = await asyncio.gather(*(self._delete(resource, item) for item in doomed))
        if (resource.group, resource.plural) in _SELF_EMPTYING:
            return 0
        return len(items) - sum(gone)

    async def _delete(self, resource: Resource, item: JSON) -> bool:
        """Delete one object, as gracefully as it wants; return whether it is gone at once."""
        meta = item["metadata"]
        try:
            left = await self._client.delete(
                resource, meta["name"], meta["namespace"], uid=meta["uid"], propagation="Background"
            )
        except ApiError as error:
            if error.not_found or error.conflict:
                return error.not_found
            raise
        return not left.get("metadata", {}).get("deletionTimestamp")

    async def _finalize(self, namespace: JSON) -> None:
        body = copy.deepcopy(namespace)
        body["spec"]["finalizers"] = [each for each in body["spec"]["finalizers"] if each != FINALIZER]
        try:
            await self._client.replace(NAMESPACES, body, "finalize")
        except ApiError as error:
            if not error.not_found:
                raise
