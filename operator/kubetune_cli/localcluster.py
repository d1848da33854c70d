"""Starts the cluster of a folder and the operator against it; both are found again by their pid files."""

import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from kubetune_api.crdgen import KINDS, custom_resource_definition
from kubetune_api.run import HOSTS_ENV, MOUNTS_ENV, TERMINATION_LOG_ENV

from .access import ApiError, Cluster, Unreachable, Where
from .errors import CliError
from .localstate import CLUSTER, OPERATOR, LocalState, Program, python

START_SECONDS = 60.0
POLL = 0.03
CRD_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
APPLY = {"fieldManager": "kubetune", "force": "true"}
APPLY_TYPE = "application/apply-patch+yaml"


def bring_up(state: LocalState, *, control_plane: bool, accelerators: list[str]) -> bool:
    """Make sure that cluster and operator run. True when something had to be started.

    Raises:
        CliError: one of them does not come up; the end of its log is in the message.
    """
    state.directory.mkdir(parents=True, exist_ok=True)
    fresh = _start_cluster(state, control_plane, accelerators)
    cluster = Cluster(Where(kubeconfig=str(state.kubeconfig)))
    if fresh or state.program(OPERATOR).pid() is None:
        install_definitions(cluster)
        fresh |= _start_operator(state)
    return fresh


def _start_cluster(state: LocalState, control_plane: bool, accelerators: list[str]) -> bool:
    program = state.program(CLUSTER)
    wanted = {"controlPlane": control_plane, "accelerators": sorted(accelerators)}
    if program.pid() is not None:
        refuse_other_settings(program, wanted)
        return False
    state.program(OPERATOR).stop()
    state.kubeconfig.unlink(missing_ok=True)
    command = [*python("kubetune_local"), "--directory", str(state.directory.resolve())]
    command += ["--mounts-variable", MOUNTS_ENV, "--hosts-variable", HOSTS_ENV]
    command += ["--termination-log-variable", TERMINATION_LOG_ENV]
    command += ["--control-plane"] if control_plane else []
    for accelerator in accelerators:
        command += ["--accelerator", accelerator]
    program.start(command, os.environ, **wanted)
    _wait(program, lambda: state.kubeconfig.exists() and _answers(state))
    return True


def refuse_other_settings(program: Program, wanted: dict[str, Any]) -> None:
    """A running cluster keeps what it was started with; asking for more must not go unheard."""
    record = program.record()
    for name, value in wanted.items():
        if value and record.get(name) != value:
            raise CliError(
                f"the cluster runs with {name} {record.get(name)!r}, not {value!r}", "`kubetune local down` first"
            )


def _answers(state: LocalState) -> bool:
    try:
        cluster = Cluster(Where(kubeconfig=str(state.kubeconfig)))
        cluster.request("GET", "/api/v1/namespaces/default")
    except (Unreachable, ApiError):
        return False
    return True


def install_definitions(cluster: Cluster) -> None:
    """Apply the CRDs of this version and wait until they are served."""
    for kind in KINDS:
        definition = custom_resource_definition(kind)
        path = f"{CRD_PATH}/{definition['metadata']['name']}"
        cluster.request("PATCH", path, definition, query=APPLY, content_type=APPLY_TYPE)
    deadline = time.monotonic() + START_SECONDS
    for kind in KINDS:
        while not _served(cluster, kind.__name__):
            if time.monotonic() > deadline:
                raise CliError(f"the API server does not serve {kind.__name__} after {START_SECONDS:.0f} s")
            time.sleep(POLL)


def _served(cluster: Cluster, kind: str) -> bool:
    try:
        cluster.request("GET", cluster.path(kind), query={"limit": "1"})
    except ApiError as error:
        if error.status in (404, 429, 503):  # 429: the storage of a new definition is being initialised
            return False
        raise
    return True


def _start_operator(state: LocalState) -> bool:
    program = state.program(OPERATOR)
    if program.pid() is not None:
        return False
    port = _free_port()
    environ = os.environ | {
        "KUBECONFIG": str(state.kubeconfig),
        "KUBETUNE_ALLOW_FILE_URIS": "true",
        "KUBETUNE_TRAINER_COMMAND": _quoted(python("kubetune_trainer")),
        "KUBETUNE_TERMINATION_GRACE_SECONDS": "60",
        "KUBETUNE_PROGRESS_INTERVAL_SECONDS": "3",
        "KUBETUNE_WAITING_INTERVAL_SECONDS": "2",
        "KUBETUNE_LEADER_ELECTION": "false",  # there is one, and a new one need not wait for the old
        "KUBETUNE_HTTP_BIND": f"127.0.0.1:{port}",
    }
    program.start(python("kubetune_operator"), environ, port=port)
    _wait(program, lambda: _ready(port))
    return True


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _wait(program: Program, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if program.pid() is None or time.monotonic() > deadline:
            program.stop()
            raise program.died()
        time.sleep(POLL)


def _quoted(command: list[str]) -> str:
    import shlex

    return shlex.join(command)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
