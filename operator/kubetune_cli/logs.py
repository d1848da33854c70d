"""`kubetune local logs NAME`: the log of a run's newest pod, of the operator or of the cluster."""

import sys

from kubetune_api.names import LABEL_OWNER_UID

from .access import Cluster, Object, Where
from .errors import CliError
from .localstate import CLUSTER, OPERATOR, LocalState


def run_logs(state: LocalState, name: str, *, follow: bool) -> int:
    """Print a log to standard output."""
    if name in (CLUSTER, OPERATOR):
        log = state.log(name)
        if not log.exists():
            raise CliError(f"there is no log {log}")
        sys.stdout.write(log.read_text(errors="replace"))
        return 0
    cluster = Cluster(Where(kubeconfig=str(state.kubeconfig)))
    pod = newest_pod(cluster, cluster.find(name))
    base = f"/api/v1/namespaces/{cluster.namespace}/pods/{pod['metadata']['name']}/log"
    for line in cluster.stream(base, {"follow": "true"} if follow else {}, idle=3600):
        sys.stdout.write(line.decode(errors="replace") + "\n")
        sys.stdout.flush()
    return 0


def newest_pod(cluster: Cluster, run: Object) -> Object:
    """Return the pod of a run that was made last, its evaluation's included.

    Raises:
        CliError: it has none.
    """
    owners = [run["metadata"]["uid"]]
    evaluation = (run.get("status") or {}).get("evaluation") if run["kind"] == "FineTuneJob" else None
    if evaluation:
        owners.append(cluster.get("EvalRun", evaluation)["metadata"]["uid"])
    path = f"/api/v1/namespaces/{cluster.namespace}/pods"
    pods: list[Object] = []
    for uid in owners:
        pods += cluster.request("GET", path, query={"labelSelector": f"{LABEL_OWNER_UID}={uid}"}).get("items", [])
    if not pods:
        raise CliError(
            f"{run['kind']} {run['metadata']['name']} has no pods", "its conditions tell why: kubetune watch NAME"
        )
    return max(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))
