"""Commands to copy, by what a run is in or waits for. Pure."""

import re
from typing import Any

from .board import condition

Object = dict[str, Any]
_SECRET = re.compile(r'secret "([^"]+)" not found')
_CLAIM = re.compile(r"PersistentVolumeClaim (\S+)")
_NODE = re.compile(r"`(kubectl uncordon \S+)`")


def commands(run: Object, state: str, reason: str, message: str, pod: str) -> list[str]:
    """Return what a person can run next, the most useful first; `pod` is the newest one, if there is any."""
    name, namespace = run["metadata"]["name"], run["metadata"].get("namespace", "default")
    here, short = f"-n {namespace}", "ftj" if run.get("kind") == "FineTuneJob" else "evr"
    log, about = f"kubectl logs {pod} {here}", f"kubectl describe pod {pod} {here}"
    if state == "Running":
        return [f"kubetune watch {short}/{name} {here}", *([log] if pod else [])]
    if state == "Succeeded":
        return [f"kubetune results {short}/{name} {here}"]
    if state == "Suspended":
        return [f"""kubectl patch {short} {name} {here} --type merge -p '{{"spec":{{"suspend":false}}}}'"""]
    if state == "Unseen":
        return ["kubectl get pods -A -l app.kubernetes.io/name=kubetune", f"kubectl describe {short} {name} {here}"]
    if state == "Failed":
        return _failed(run, reason, short, here, log if pod else "")
    return _waiting(reason, message, here, about if pod else f"kubectl get events {here}")


def _failed(run: Object, reason: str, short: str, here: str, log: str) -> list[str]:
    name = run["metadata"]["name"]
    if condition(run, "Accepted").get("status") == "False":
        return [f"kubectl get {short} {name} {here} -o yaml > {name}.yaml", f"kubetune validate {name}.yaml"]
    if not log:
        return [f"kubectl describe {short} {name} {here}"]
    return [log, f"kubectl describe {short} {name} {here}"]


def _waiting(reason: str, message: str, here: str, about: str) -> list[str]:
    if reason == "Unschedulable":
        uncordon = [found[1]] if (found := _NODE.search(message)) else []
        return [*uncordon, about, "kubectl get nodes -L nvidia.com/gpu.product,nvidia.com/gpu.count"]
    if reason == "QuotaExceeded":
        return [f"kubectl describe quota {here}"]
    if reason == "ClaimNotFound" and (claim := _CLAIM.search(message)):
        return [f"kubectl get pvc {here}", f"kubectl get pvc {claim[1]} {here}"]
    if reason in ("VolumePending", "MountFailed"):
        return [f"kubectl describe pvc {here}", "kubectl get storageclass", about]
    if reason == "ContainerConfigFailed" and (secret := _SECRET.search(message)):
        return [f"kubectl create secret generic {secret[1]} {here} --from-literal=HF_TOKEN=...", about]
    if reason == "Queued":
        return [f"kubectl get workloads,localqueues {here}"]
    if reason == "PodForbidden":
        return [f"kubectl get namespace {here.removeprefix('-n ')} --show-labels", f"kubectl get events {here}"]
    return [about]
