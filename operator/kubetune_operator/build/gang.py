"""The pods of several nodes that train together: how many there are, and where they meet."""

import hashlib

from kubetune_api import names

from ..plan.plan import Owner, StagePlan

_FIRST_PORT, _PORTS = 20000, 10000


def nodes_of(stage_plan: StagePlan) -> int:
    """Return how many pods a stage has."""
    return stage_plan.run_file.compute.nodes


def rendezvous_port(owner: Owner, run: int) -> int:
    """Return the port that the pods meet at: another one for each run, so that no pod of an earlier one joins."""
    digest = hashlib.sha256(f"{owner.uid}/{run}".encode()).digest()
    return _FIRST_PORT + int.from_bytes(digest[:4], "big") % _PORTS


def rendezvous(owner: Owner, stage_plan: StagePlan, run: int, job: str) -> str | None:
    """Return where the pods of a Job meet; None for one that is alone."""
    if nodes_of(stage_plan) == 1:
        return None
    return f"{names.rendezvous_host(job)}:{rendezvous_port(owner, run)}"
