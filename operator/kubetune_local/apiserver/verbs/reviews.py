"""Reviews: who am I, what may I do. Whoever has the token may do everything."""

from typing import Any

from kubetune_local.apiserver.cluster import Cluster, Request

Obj = dict[str, Any]
REVIEWS = (
    "selfsubjectaccessreviews",
    "localsubjectaccessreviews",
    "subjectaccessreviews",
    "selfsubjectrulesreviews",
    "selfsubjectreviews",
)
_EVERY = ["*"]


def review(cluster: Cluster, request: Request, body: Any) -> Obj:
    """Answer a review; nothing is stored."""
    resource = request.resource
    answer: Obj = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": {"creationTimestamp": None}}
    if resource.plural == "selfsubjectreviews":
        return {
            **answer,
            "status": {"userInfo": {"username": request.user, "groups": ["system:masters", "system:authenticated"]}},
        }
    spec = body.get("spec", {}) if isinstance(body, dict) else {}
    if resource.plural == "selfsubjectrulesreviews":
        rules = [{"verbs": _EVERY, "apiGroups": _EVERY, "resources": _EVERY}]
        status: Obj = {
            "resourceRules": rules,
            "nonResourceRules": [{"verbs": _EVERY, "nonResourceURLs": _EVERY}],
            "incomplete": False,
        }
        return {**answer, "spec": {}, "status": status}
    return {**answer, "spec": spec, "status": {"allowed": True, "reason": "the embedded cluster has no authorization"}}
