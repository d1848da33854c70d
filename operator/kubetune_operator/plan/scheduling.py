"""`spec.scheduling`: node choice, tolerations and priority of the pods."""

from kubetune_api.resources import Resources, Scheduling

from ..settings import Settings
from . import accelerators, spot
from .plan import Placement


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
    )


def _affinity(terms: list[list[dict[str, object]]]) -> dict[str, object] | None:
    if not any(terms):
        return None
    selector = {"nodeSelectorTerms": [{"matchExpressions": term} for term in terms]}
    return {"requiredDuringSchedulingIgnoredDuringExecution": selector}
