"""The platform's policy on one run: each rule that it breaks is a refusal with the rule, its limit and whom to ask."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from kubetune_api.evalrun import EvalRunSpec
from kubetune_api.fields import quantity_value
from kubetune_api.finetunejob import FineTuneJobSpec
from kubetune_api.resources import Resources

from ..policy import Policy
from . import uris
from .parse import Subject
from .plan import Refusal

VIOLATION = "PolicyViolation"


def refuse(subject: Subject, policy: Policy) -> Iterator[Refusal]:
    """Refuse what the policy does not allow; a run that was accepted is left alone."""
    if _accepted(subject):
        return
    for field, rule, problem in _violations(subject, policy):
        contact = f"; ask {policy.contact}" if policy.contact else "; ask your platform team"
        yield Refusal(VIOLATION, field, f"{field}: {problem} (policy rule {rule}){contact}")


def accelerators_of(subject: Subject) -> int:
    """Return the most accelerators that a run holds at a time."""
    return max(_count(resources) for _, resources in _resources(subject.spec))


def _accepted(subject: Subject) -> bool:
    conditions = subject.status.conditions if subject.status else []
    return any(entry.type == "Accepted" and entry.status == "True" for entry in conditions)


def _count(resources: Resources) -> int:
    return resources.accelerator.count * resources.nodes


def _resources(spec: FineTuneJobSpec | EvalRunSpec) -> Iterator[tuple[str, Resources]]:
    yield "spec.resources", spec.resources
    if isinstance(spec, FineTuneJobSpec) and spec.evaluation is not None and spec.evaluation.spec.resources is not None:
        yield "spec.evaluation.spec.resources", spec.evaluation.spec.resources


def _violations(subject: Subject, policy: Policy) -> Iterator[tuple[str, str, str]]:
    spec = subject.spec
    for field, resources in _resources(spec):
        yield from _accelerators(field, resources, policy)
        if policy.max_nodes is not None and resources.nodes > policy.max_nodes:
            yield f"{field}.nodes", "maxNodes", f"{resources.nodes} nodes are more than the {policy.max_nodes} allowed"
    limit = policy.limit_of(subject.metadata.namespace)
    wanted = accelerators_of(subject)
    if limit is not None and limit.concurrent_accelerators is not None and wanted > limit.concurrent_accelerators:
        problem = f"{wanted} accelerators are more than namespace {subject.metadata.namespace} may ever hold"
        yield (
            "spec.resources.accelerator",
            "limits.concurrentAccelerators",
            f"{problem}, {limit.concurrent_accelerators}",
        )
    yield from _names(spec, policy)
    yield from _places(spec.dump(), policy, "spec")
    size = policy.workspace.max_size
    made = spec.workspace.claim_name is None
    if size is not None and made and quantity_value(spec.workspace.size) > quantity_value(size):
        yield "spec.workspace.size", "workspace.maxSize", f"{spec.workspace.size} is more than the {size} allowed"


def _accelerators(field: str, resources: Resources, policy: Policy) -> Iterator[tuple[str, str, str]]:
    wanted, allowed, field = resources.accelerator, policy.accelerators, f"{field}.accelerator"
    if wanted.count == 0:
        return
    if allowed.max_per_run is not None and _count(resources) > allowed.max_per_run:
        problem = f"{_count(resources)} accelerators are more than the {allowed.max_per_run} that a run may have"
        yield f"{field}.count", "accelerators.maxPerRun", problem
    if allowed.resource_names is not None and wanted.resource_name not in allowed.resource_names:
        problem = f"{wanted.resource_name} is none of {_listed(allowed.resource_names)}"
        yield f"{field}.resourceName", "accelerators.resourceNames", problem
    if allowed.products is not None and not _matches(wanted.product or "", allowed.products):
        problem = f"{wanted.product or 'any product'} is none of {_listed(allowed.products)}; name one of them"
        yield f"{field}.product", "accelerators.products", problem


def _names(spec: FineTuneJobSpec | EvalRunSpec, policy: Policy) -> Iterator[tuple[str, str, str]]:
    scheduling, pod = spec.scheduling, spec.pod
    rules = (
        (
            "spec.scheduling.priorityClassName",
            "priorityClasses",
            scheduling.priority_class_name,
            policy.priority_classes,
        ),
        ("spec.scheduling.queueName", "queues", scheduling.queue_name, policy.queues),
        ("spec.pod.serviceAccountName", "serviceAccounts", pod.service_account_name, policy.service_accounts),
        ("spec.pod.runtimeClassName", "runtimeClasses", pod.runtime_class_name, policy.runtime_classes),
        (
            "spec.workspace.storageClassName",
            "workspace.storageClasses",
            spec.workspace.storage_class_name,
            policy.workspace.storage_classes,
        ),
    )
    for field, rule, name, allowed in rules:
        if name is not None and allowed is not None and not _matches(name, allowed):
            yield field, rule, f"{name} is none of {_listed(allowed)}"
    if policy.require_queue and scheduling.queue_name is None:
        yield "spec.scheduling.queueName", "requireQueue", "every run must name a queue"


def _places(node: Any, policy: Policy, path: str) -> Iterator[tuple[str, str, str]]:
    """Look at every uri in the JSON form of a spec, wherever it stands."""
    if isinstance(node, dict):
        for name, child in node.items():
            if name == "uri" and isinstance(child, str):
                yield from _place(f"{path}.uri", child, policy)
            else:
                yield from _places(child, policy, f"{path}.{name}")
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from _places(child, policy, f"{path}[{index}]")


def _place(field: str, uri: str, policy: Policy) -> Iterator[tuple[str, str, str]]:
    schemes, prefixes = policy.uris.schemes, policy.uris.prefixes
    if schemes is not None and uris.scheme_of(uri) not in schemes:
        yield field, "uris.schemes", f"{uris.scheme_of(uri)}:// is none of {_listed(schemes)}"
    elif prefixes is not None and not any(_below(uri, prefix) for prefix in prefixes):
        yield field, "uris.prefixes", f"the place begins with none of {_listed(prefixes)}"


def _below(uri: str, prefix: str) -> bool:
    """Tell whether a prefix ends where a step of the uri does: s3://team does not allow s3://team-b."""
    bare = uri.partition("?")[0]
    return bare.startswith(prefix) and (prefix.endswith("/") or bare[len(prefix) :][:1] in ("", "/"))


def _matches(name: str, allowed: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in allowed)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing"
