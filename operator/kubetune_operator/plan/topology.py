"""`spec.scheduling.topology`: the pods of a run on several nodes keep together."""

from collections.abc import Iterator

from kubetune_api.resources import Scheduling, Topology, TopologyMode

from .plan import Refusal, TopologyPlan, bad


def refuse(scheduling: Scheduling, nodes: int) -> Iterator[Refusal]:
    """Refuse to keep one pod together with none."""
    if scheduling.topology is not None and nodes == 1:
        yield bad("spec.scheduling.topology", "one pod has no others to be near; leave it out, or set resources.nodes")


def plan(topology: Topology | None, nodes: int) -> TopologyPlan | None:
    """Return what the pods of a Job share."""
    if topology is None or nodes == 1:
        return None
    return TopologyPlan(topology.key, topology.mode is TopologyMode.REQUIRE)
