"""Generated objects in an API server with an operator: each gets a Job or a reason, and a bad one can be mended."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from cluster.harness.operator import free_port
from cluster.harness.process import Process, environment
from control_plane import ControlPlane
from kubetune_api import names
from kubetune_operator.cluster.client import PATHS

from .judge import NAMESPACE
from .oracles import Case, generated, mended

JSON = dict[str, Any]
SECONDS = 60.0


def run_live(plane: ControlPlane, folder: Path, count: int, first: int = 0) -> list[str]:
    """Create objects, wait for a Job or a reason, replace refused ones by better ones; return what did not hold."""
    operator, port = Process("the operator", folder / "operator.log"), free_port()
    environ = environment(
        KUBECONFIG=str(plane.kubeconfig("admin", plane.token)),
        KUBETUNE_ALLOW_FILE_URIS="true",
        KUBETUNE_HTTP_BIND=f"127.0.0.1:{port}",
        KUBETUNE_NAMESPACES=NAMESPACE,
        POD_NAMESPACE=NAMESPACE,
    )
    command = ["python", "-m", "kubetune_operator"]
    operator.start(command, environ, lambda: True, 5)
    try:
        broken = _settle(plane, [_kept(generated(seed, NAMESPACE)) for seed in range(first, first + count)])
        assert operator.running(), f"the operator ended:\n{operator.tail()}"
    finally:
        operator.terminate()
    log = operator.log.read_text(errors="replace")
    if "Traceback" in log:
        broken.append(f"a traceback in the operator's log:\n{log[log.index('Traceback') :][:3000]}")
    return broken


def _kept(case: Case) -> Case:
    """Return the object without its time to live: one that is refused would be deleted before it is looked at."""
    spec = {key: value for key, value in case.manifest["spec"].items() if key != "ttlSecondsAfterFinished"}
    return Case(case.seed, {**case.manifest, "spec": spec})


def _settle(plane: ControlPlane, cases: list[Case]) -> list[str]:
    for case in cases:
        _request(plane, "POST", case)
    states = _waited(plane, cases)
    broken = [f"neither a Job nor a reason after {SECONDS:.0f} s: {case}" for case in cases if not states[case.seed]]
    refused = [case for case in cases if states[case.seed] == "refused"]
    better = [one for case in refused if (one := mended(case)) is not None]
    for case in better:
        _request(plane, "DELETE", case)
        _request(plane, "POST", case)
    states = _waited(plane, better)
    return broken + [
        f"the mended object is {states[case.seed] or 'not looked at'}: {case}"
        for case in better
        if states[case.seed] not in ("made", "waits")
    ]


def _waited(plane: ControlPlane, cases: list[Case]) -> dict[int, str]:
    """Return what became of each object: a Job was `made`, it is `refused` or `waits`, or nothing in time."""
    deadline = time.monotonic() + SECONDS
    while True:
        states = _states(plane, cases)
        if all(states.values()) or time.monotonic() > deadline:
            return states
        time.sleep(0.5)


def _states(plane: ControlPlane, cases: list[Case]) -> dict[int, str]:
    owners = {job["metadata"]["labels"].get(names.LABEL_OWNER_UID) for job in _all(plane, "Job")}
    found = {
        (each["kind"], each["metadata"]["name"]): each
        for kind in ("FineTuneJob", "EvalRun")
        for each in _all(plane, kind)
    }
    return {case.seed: _state(found.get((case.kind, case.manifest["metadata"]["name"])), owners) for case in cases}


def _state(obj: JSON | None, owners: set[str]) -> str:
    if obj is None:
        return ""
    if obj["metadata"]["uid"] in owners:
        return "made"
    conditions = {each["type"]: each for each in (obj.get("status") or {}).get("conditions") or []}
    accepted, failed = conditions.get("Accepted", {}), conditions.get("Failed", {})
    if failed.get("status") == "True":
        return "refused" if accepted.get("status") == "False" and accepted.get("message") else f"failed: {failed}"
    waits = accepted.get("status") == "True" and (obj["spec"].get("suspend") or obj["kind"] == "EvalRun")
    return "waits" if waits and conditions["Progressing"].get("reason") else ""


def _all(plane: ControlPlane, kind: str) -> list[JSON]:
    prefix, plural = PATHS[kind]
    items = plane.admin.request("GET", f"{prefix}/namespaces/{NAMESPACE}/{plural}").get("items") or []
    return [{"kind": kind, **item} for item in items]


def _request(plane: ControlPlane, method: str, case: Case) -> None:
    prefix, plural = PATHS[case.kind]
    path = f"{prefix}/namespaces/{NAMESPACE}/{plural}"
    if method == "DELETE":
        plane.admin.request("DELETE", f"{path}/{case.manifest['metadata']['name']}")
    else:
        plane.admin.request(method, path, case.manifest)
