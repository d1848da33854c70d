"""`spec.scheduling`: node choice, tolerations and priority of the pods."""

import re
from collections.abc import Iterator

from kubetune_api.fields import LABEL_KEY_PATTERN
from kubetune_api.resources import Resources, Scheduling

from ..settings import Settings
from . import accelerators, spot, topology
from .plan import Placement, Refusal, bad


def refuse(scheduling: Scheduling, nodes: int) -> Iterator[Refusal]:
    """Refuse keys that no node can carry, an order in no queue, and nearness of one pod."""
    for key in scheduling.node_selector:
        if not re.fullmatch(LABEL_KEY_PATTERN, key):
            yield bad("spec.scheduling.nodeSelector", f"{key!r} is no key of a label; write for example disk")
    if scheduling.workload_priority_class is not None and scheduling.queue_name is None:
        yield bad("spec.scheduling.workloadPriorityClass", "it is the order in a queue; name one in queueName")
    yield from topology.refuse(scheduling, nodes)


def placement(scheduling: Scheduling, resources: Resources, settings: Settings, *, accelerated: bool) -> Placement:
    """Return where the pods of a stage may go."""
    wanted = resources.accelerator
    expressions = list(accelerators.match_expressions(wanted)) if accelerated else []
    terms = [[*expressions, *term] for term in spot.terms(scheduling.spot)]
    tolerations = [toleration.dump() for toleration in (*settings.tolerations, *scheduling.tolerations)]
    tolerations += spot.tolerations(scheduling.spot)
    if accelerated and wanted.count:
        tolerations.append({"key": wanted.resource_name, "operator": "Exists", "effect": "NoSchedule"})
    return Placement(
        node_selector=dict(scheduling.node_selector),
        node_affinity=_affinity(terms),
        tolerations=tolerations,
        priority_class_name=scheduling.priority_class_name,
        queue_name=scheduling.queue_name,
        workload_priority_class=scheduling.workload_priority_class,
        topology=topology.plan(scheduling.topology, resources.nodes) if accelerated else None,
    )


def _affinity(terms: list[list[dict[str, object]]]) -> dict[str, object] | None:
    if not any(terms):
        return None
    selector = {"nodeSelectorTerms": [{"matchExpressions": term} for term in terms]}
    return {"requiredDuringSchedulingIgnoredDuringExecution": selector}
