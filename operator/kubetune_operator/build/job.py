"""A Job that runs one pod a node, and tells failures that cost a retry from those that do not, or that end it.

The trainer speaks by its exit code (kubetune_api.exits); the rules are read from top to bottom, the first that fits
decides (KEP-3329):

    64 65 66 77 78       FailJob   another attempt cannot mend it: one attempt, then over
    75 checkpointed      Ignore    it was stopped and goes on where it was; costs no retry
    DisruptionTarget     Ignore    eviction, pre-emption, a lost node; costs no retry
    everything else      Count     70, 76, out of memory, a signal: costs one of `retries`

What is ignored has no end of its own in a Job: the operator counts it and ends a run that is disrupted too often.
"""

from kubetune_api import names
from kubetune_api.exits import PERMANENT, Exit

from ..plan.plan import CONTAINER, Plan, StagePlan
from ..settings import Settings
from .metadata import Manifest, metadata, stage_labels
from .pod import pod_spec


def stage_job(plan: Plan, stage_plan: StagePlan, run: int, retries: int, name: str, settings: Settings) -> Manifest:
    """Return the Job of one run of a stage.

    It is Indexed: each node's pod has a number. Retries are counted for the whole Job: with `backoffLimitPerIndex` the
    controller keeps a failed pod until it has made the next one, so that a namespace whose pods are deleted first is
    never rid of them. A pod is replaced only when it has ended, never while it may still write to the workspace.
    `suspend` is left out: it belongs to whoever queues Jobs.
    """
    labels = stage_labels(plan.owner, stage_plan.stage, run)
    annotations = {names.ANNOTATION_CONFIG_DIGEST: stage_plan.run_file.config_digest()}
    nodes = stage_plan.run_file.compute.nodes
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(plan.owner, name, labels, annotations),
        "spec": {
            "completionMode": "Indexed",
            "completions": nodes,
            "parallelism": nodes,
            "backoffLimit": retries,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": _failure_rules()},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": pod_spec(stage_plan.pod, plan.workspace, name, settings),
            },
        },
    }


def _failure_rules() -> list[Manifest]:
    return [
        {"action": "FailJob", "onExitCodes": _codes(*PERMANENT)},
        {"action": "Ignore", "onExitCodes": _codes(Exit.CHECKPOINTED)},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]


def _codes(*codes: Exit) -> Manifest:
    return {"containerName": CONTAINER, "operator": "In", "values": sorted(int(code) for code in codes)}
