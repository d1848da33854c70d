"""Who holds the accelerators, as the operator reads it: from our pods, and the estimates of their runs."""

from datetime import UTC, datetime
from typing import Any

from kubetune_api import names
from kubetune_operator.cluster.occupancy import OccupancyReader
from kubetune_operator.errors import api_error
from kubetune_operator.settings import Settings
from unit.operator.cluster_in_memory import InMemory


def holding(run: str, managed_by: str = names.MANAGED_BY) -> dict[str, Any]:
    labels = {names.LABEL_MANAGED_BY: managed_by, names.LABEL_NAME: run, names.LABEL_KIND: "FineTuneJob"}
    return {
        "kind": "Pod",
        "metadata": {"name": f"{run}-0", "namespace": "team", "labels": labels},
        "spec": {"nodeName": "a", "containers": [{"resources": {"limits": {"nvidia.com/gpu": "2"}}}]},
        "status": {"phase": "Running"},
    }


def run(name: str, ends: str | None) -> dict[str, Any]:
    progress = {"estimatedCompletionTime": ends} if ends else {}
    return {"kind": "FineTuneJob", "metadata": {"name": name, "namespace": "team"}, "status": {"progress": progress}}


async def test_our_pods_and_the_estimates_of_their_runs_are_read_once_in_a_while() -> None:
    client = InMemory(holding("x"), holding("y"), holding("z", "someone"), run("x", "2026-11-24T14:00:00Z"))
    reader = OccupancyReader(client, Settings())  # type: ignore[arg-type]
    occupancy = await reader.read()
    assert occupancy is not None
    assert not occupancy.complete
    ends = {holder.owner: holder.ends for holder in occupancy.holders}
    assert ends == {"team/x": datetime(2026, 11, 24, 14, tzinfo=UTC), "team/y": None}
    client.put(holding("later"))
    assert await reader.read() is occupancy


async def test_without_the_right_to_list_pods_nothing_is_known() -> None:
    class Refusing(InMemory):
        async def list(self, kind: str, namespace: str | None, **selectors: str) -> list[dict[str, Any]]:
            raise api_error(403, "Forbidden", "pods is forbidden")

    assert await OccupancyReader(Refusing(), Settings()).read() is None  # type: ignore[arg-type]
