"""A Job that runs one pod a node, and tells failures that cost a retry from those that do not, or that end it.

The trainer speaks by its exit code (kubetune_api.exits); the rules are read from top to bottom, the first that fits
decides (KEP-3329):

    64 65 66 77 78       FailJob   another attempt cannot mend it: one attempt, then over
    DisruptionTarget     Ignore    eviction, pre-emption, a lost node; costs no retry
    75 143               Ignore    it was stopped and goes on where it was; costs no retry
    71 76 137            FailJob   out of memory, stalled, killed: the operator makes the next run, with a change
    everything else      Count     70, a signal: costs one of `retries`

What is ignored has no end of its own in a Job: the operator counts it and ends a run that is disrupted too often.

Of several pods that train together none can go on alone: whatever ends one of them ends the Job, and the operator
makes the next run of all of them, once.
"""

from kubetune_api import names
from kubetune_api.exits import PERMANENT, Exit

from ..plan.launch import KILLED, TERMINATED
from ..plan.plan import CONTAINER, Plan, StagePlan
from ..settings import Settings
from .gang import nodes_of
from .metadata import Manifest, metadata, stage_labels
from .placement import queue_labels, topology_annotations
from .pod import pod_spec
from .run_file import run_file_annotations


def stage_job(plan: Plan, stage_plan: StagePlan, run: int, retries: int, name: str, settings: Settings) -> Manifest:
    """Return the Job of one run of a stage.

    It is Indexed: each node's pod has a number. Retries are counted for the whole Job: with `backoffLimitPerIndex` the
    controller keeps a failed pod until it has made the next one, so that a namespace whose pods are deleted first is
    never rid of them. A pod is replaced only when it has ended, never while it may still write to the workspace.
    `suspend` is set at most once, for a queue that is to admit the Job: from then on it belongs to Kueue.
    """
    labels = stage_labels(plan.owner, stage_plan.stage, run)
    annotations = {names.ANNOTATION_CONFIG_DIGEST: stage_plan.run_file.config_digest()}
    nodes, placement = nodes_of(stage_plan), stage_plan.pod.placement
    pod = pod_spec(stage_plan, plan.workspace, name, settings)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(plan.owner, name, labels | queue_labels(placement), annotations),
        "spec": {
            "completionMode": "Indexed",
            "completions": nodes,
            "parallelism": nodes,
            "backoffLimit": retries if nodes == 1 else 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": _rules_of_one() if nodes == 1 else _rules_of_many()},
            **({"suspend": True} if placement.queue_name else {}),
            "template": {
                "metadata": {
                    "labels": {**stage_plan.pod.labels, **labels},
                    "annotations": {
                        **stage_plan.pod.annotations,
                        **annotations,
                        **topology_annotations(placement),
                        **run_file_annotations(stage_plan),
                    },
                },
                "spec": pod if nodes == 1 else {"subdomain": names.service_name(name), **pod},
            },
        },
    }


def _rules_of_one() -> list[Manifest]:
    return [
        {"action": "FailJob", "onExitCodes": _codes("In", *PERMANENT)},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "Ignore", "onExitCodes": _codes("In", Exit.CHECKPOINTED, TERMINATED)},
        {"action": "FailJob", "onExitCodes": _codes("In", Exit.OUT_OF_MEMORY, Exit.STALLED, KILLED)},
    ]


def _rules_of_many() -> list[Manifest]:
    return [
        {"action": "FailJob", "onExitCodes": _codes("NotIn", Exit.DONE)},
        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]


def _codes(operator: str, *codes: int) -> Manifest:
    return {"containerName": CONTAINER, "operator": operator, "values": sorted(int(code) for code in codes)}
