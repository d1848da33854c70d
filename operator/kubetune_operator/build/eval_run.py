"""The EvalRun that a FineTuneJob owns."""

from kubetune_api import API_VERSION, names
from kubetune_api.evalrun import EvalRunSpec

from ..plan.plan import Plan
from .metadata import Manifest, metadata, owner_labels


def eval_run(plan: Plan, spec: EvalRunSpec) -> Manifest:
    """Return the manifest of the evaluation that follows the stages of a plan."""
    owner = plan.owner
    return {
        "apiVersion": API_VERSION,
        "kind": "EvalRun",
        "metadata": metadata(owner, names.evaluation_name(owner.name, owner.uid), owner_labels(owner)),
        "spec": spec.dump(),
    }
