"""The headless Service of a Job of several pods: it gives each of them a name that the others can look up."""

from kubetune_api import names

from ..plan.plan import Owner, StagePlan
from .gang import rendezvous_port
from .metadata import Manifest, metadata, stage_labels


def headless_service(owner: Owner, stage_plan: StagePlan, run: int, job: str) -> Manifest:
    """Return the Service of one run; names are there before the pods are ready, for they meet to become so."""
    labels = stage_labels(owner, stage_plan.stage, run)
    wanted = (names.LABEL_OWNER_UID, names.LABEL_STAGE, names.LABEL_RUN)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(owner, names.service_name(job), labels),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {name: labels[name] for name in wanted},
            "ports": [{"name": "rendezvous", "port": rendezvous_port(owner, run)}],
        },
    }
