"""What a scenario holds in its hands: a namespace, the operator behind its proxy, the history, and verbs."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from chaos.harness.history import History
from chaos.harness.nursery import Nursery
from chaos.harness.operators import ProxiedOperator
from chaos.harness.oracles import broken
from chaos.harness.proxy import FaultProxy
from cluster.harness.hollow_kubelet import HollowKubelet, Script
from cluster.harness.under_test import JSON, ClusterUnderTest, ended
from cluster.harness.worlds import World
from kubetune_local.client import NAMESPACES, NODES, SERVICE_ACCOUNTS, UNREACHABLE, ApiError, KubeClient
from kubetune_local.kubeconfig import load_kubeconfig


class Arena(ClusterUnderTest):
    """One scenario's world. `operator` is the first of its operators."""

    operator: ProxiedOperator

    def __init__(
        self, world: World, operator: ProxiedOperator, client: KubeClient, namespace: str, history: History
    ) -> None:
        super().__init__(world, operator, client, namespace)
        self.history = history
        self.operators = [operator]

    @property
    def proxy(self) -> FaultProxy:
        """The proxy of the first operator."""
        return self.operator.proxy

    async def all_finished(self, names: Iterable[str], deadline: float, kind: str = "FineTuneJob") -> list[JSON]:
        """Wait until runs have ended, well or badly; returns them."""
        wanted = set(names)

        async def over() -> list[JSON]:
            found = [obj for obj in await self.list(kind) if obj["metadata"]["name"] in wanted]
            done = [obj for obj in found if ended(obj)]
            self.left = sorted(wanted - {obj["metadata"]["name"] for obj in done})
            return done if not self.left else []

        self.left: list[str] = sorted(wanted)
        try:
            return await self.wait_until(over, deadline, "every run has ended")
        except AssertionError as error:
            raise AssertionError(f"{error}; not ended: {self.left[:20]}\n{self.operator.tail()}") from None

    async def proven(self) -> None:
        """Assert the rules that hold whatever went wrong."""
        await self.history.caught_up()
        found = broken(self.history)
        assert not found, "\n".join(found[:20])


@asynccontextmanager
async def namespace_of(client: KubeClient, name: str | None = None) -> AsyncIterator[str]:
    """Make a namespace, and delete it afterwards."""
    namespace = name or f"chaos-{secrets.token_hex(4)}"
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    await client.wait_for(SERVICE_ACCOUNTS, "default", namespace, lambda found: found is not None)
    try:
        yield namespace
    finally:
        try:
            await client.delete(NAMESPACES, namespace)
        except (ApiError, *UNREACHABLE):
            pass


@asynccontextmanager
async def arena(
    world: World,
    nursery: Nursery,
    directory: Path,
    *,
    seed: int = 0,
    replicas: int = 1,
    whole: bool = False,
    token: str | None = None,
) -> AsyncIterator[Arena]:
    """Prepare a scenario: its operators work in its namespace only, or in the whole cluster, and are not started.

    They are the cluster's administrator, or whoever `token` belongs to.
    """
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(KubeClient(load_kubeconfig(world.kubeconfig), user_agent="scenario"))
        namespace = await stack.enter_async_context(namespace_of(client))
        history = await stack.enter_async_context(History(client, namespace))
        place = directory / namespace
        place.mkdir()
        operators = []
        for name in "abcd"[:replicas]:
            proxy = FaultProxy(world.kubeconfig, place / f"proxy-{name}.kubeconfig", seed=seed, token=token)
            await stack.enter_async_context(proxy)
            operator = ProxiedOperator(world, place, nursery, proxy, name)
            if not whole:
                operator.settings["KUBETUNE_NAMESPACES"] = namespace
            operators.append(operator)
        made = Arena(world, operators[0], client, namespace, history)
        made.operators = operators
        try:
            yield made
        finally:
            for operator in operators:
                if operator.running():
                    await operator.killed()


@asynccontextmanager
async def hollow(made: Arena, script: Script, *, nodes: int = 4, **options: JSON) -> AsyncIterator[HollowKubelet]:
    """Let hollow nodes take the pods: the node that runs processes is cordoned meanwhile."""
    client = made.client
    others = [node["metadata"]["name"] for node in (await client.list(NODES))[0]]
    for name in others:
        await client.patch(NODES, name, {"spec": {"unschedulable": True}})
    try:
        async with HollowKubelet(client, script, nodes=nodes, name=f"hollow-{secrets.token_hex(2)}") as kubelet:
            yield kubelet
    finally:
        for name in others:
            await asyncio.shield(client.patch(NODES, name, {"spec": {"unschedulable": None}}))
