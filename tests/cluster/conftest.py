"""One suite in three worlds: `--cluster=embedded`, `--cluster=control-plane`, or a context of the kubeconfig."""

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from cluster.harness.operator import Operator
from cluster.harness.under_test import ClusterUnderTest, running
from cluster.harness.worlds import ASSETS, CONTROL_PLANE, World, chosen_worlds, missing_programs, world_named
from kubetune_local.client import NAMESPACES, SERVICE_ACCOUNTS, KubeClient
from kubetune_local.kubeconfig import load_kubeconfig


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker of this suite."""
    config.addinivalue_line("markers", "long: takes minutes; runs in one world, the one most like a real cluster")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test once in each world; a long one only in the last, which is the strictest."""
    if "world" not in metafunc.fixturenames:
        return
    worlds = chosen_worlds(metafunc.config.getoption("--cluster"))
    if metafunc.definition.get_closest_marker("long"):
        worlds = worlds[-1:]
    if CONTROL_PLANE in worlds and (missing := missing_programs()):
        pytest.exit(
            f"the control-plane world needs {', '.join(missing)}: let {ASSETS} name a folder with "
            "etcd, kube-apiserver, kube-controller-manager and kube-scheduler, or say --cluster=embedded",
            returncode=pytest.ExitCode.USAGE_ERROR,
        )
    metafunc.parametrize("world", worlds, indirect=True, scope="session")


@pytest.fixture(scope="session")
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A running cluster with our definitions."""
    with running(world_named(request.param, tmp_path_factory.mktemp(request.param.replace("/", "-")))) as made:
        yield made


@pytest.fixture(scope="session")
def session_operator(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """The operator of the world."""
    made = Operator(world, tmp_path_factory.mktemp("operator"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def operator(session_operator: Operator) -> Iterator[Operator]:
    """The operator, running: whatever the test before did to it."""
    session_operator.start()
    yield session_operator
    session_operator.start()


@pytest.fixture
async def cluster(world: World, operator: Operator) -> AsyncIterator[ClusterUnderTest]:
    """A namespace of its own for each test; it is deleted afterwards."""
    namespace = f"test-{secrets.token_hex(4)}"
    async with KubeClient(load_kubeconfig(world.kubeconfig)) as client:
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        await client.wait_for(SERVICE_ACCOUNTS, "default", namespace, lambda found: found is not None)
        yield ClusterUnderTest(world, operator, client, namespace)
        await client.delete(NAMESPACES, namespace)
