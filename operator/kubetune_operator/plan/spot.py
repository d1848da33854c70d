"""`spec.scheduling.spot`: how each platform marks interruptible nodes, in one table."""

from kubetune_api.resources import Spot

#: Node label and value of interruptible nodes.
LABELS = (
    ("karpenter.sh/capacity-type", "spot"),
    ("eks.amazonaws.com/capacityType", "SPOT"),
    ("cloud.google.com/gke-spot", "true"),
    ("kubernetes.azure.com/scalesetpriority", "spot"),
)
#: Taints that keep pods off interruptible nodes.
TAINTS = (("cloud.google.com/gke-spot", "true"), ("kubernetes.azure.com/scalesetpriority", "spot"))


def terms(spot: Spot) -> list[list[dict[str, object]]]:
    """Return node selector terms, any of which must hold; each is a list of expressions that all must."""
    if spot is Spot.REQUIRE:
        return [[{"key": key, "operator": "In", "values": [value]}] for key, value in LABELS]
    if spot is Spot.AVOID:
        return [[{"key": key, "operator": "NotIn", "values": [value]} for key, value in LABELS]]
    return [[]]


def tolerations(spot: Spot) -> list[dict[str, object]]:
    """Return the tolerations that let pods onto interruptible nodes."""
    if spot is Spot.AVOID:
        return []
    return [{"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"} for key, value in TAINTS]
