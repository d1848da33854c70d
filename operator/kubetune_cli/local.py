"""`kubetune local ...`: the cluster of this folder."""

from argparse import Namespace
from pathlib import Path

from .errors import CliError
from .localstate import CLUSTER, OPERATOR, LocalState


def run_local(options: Namespace) -> int:
    """Run one action of `kubetune local`."""
    state = LocalState(Path(options.directory))
    if options.action == "up":
        return _up(state, options)
    if options.action == "down":
        return _down(state, delete=options.delete)
    if options.action == "status":
        return _status(state)
    if options.action == "run":
        from .localrun import run_manifest

        return int(run_manifest(state, options))
    if not state.cluster_alive():
        raise CliError(f"no cluster runs in {state.directory}", "start it with `kubetune local up`")
    if options.action == "chat":
        from .chat import run_chat

        return run_chat(state, options)
    from .logs import run_logs

    return run_logs(state, options.name, follow=options.follow)


def _up(state: LocalState, options: Namespace) -> int:
    from .localcluster import bring_up

    fresh = bring_up(state, control_plane=options.control_plane, accelerators=options.accelerator)
    print(f"the cluster {'is up' if fresh else 'was up already'}; use it with kubectl:")
    print(f"  export KUBECONFIG={state.kubeconfig}")
    return 0


def _down(state: LocalState, *, delete: bool) -> int:
    """End the operator first, so that it does not see its API server go."""
    stopped = [name for name in (OPERATOR, CLUSTER) if state.program(name).stop()]
    print(f"stopped: {', '.join(stopped)}" if stopped else "nothing ran here")
    if delete and state.directory.exists():
        import shutil

        if not state.kubeconfig.exists() and any(state.directory.iterdir()):
            raise CliError(f"{state.directory} holds no local cluster; nothing was deleted")
        shutil.rmtree(state.directory)
        print(f"deleted {state.directory}")
    return 0


def _status(state: LocalState) -> int:
    up = state.cluster_alive()
    for name in (CLUSTER, OPERATOR):
        program = state.program(name)
        pid = program.pid()
        print(f"{name:<9} {f'running, pid {pid}' if pid else 'not running':<24} log {program.log}")
    if not up:
        print("start it with `kubetune local up`")
        return 1
    print(f"kubeconfig {state.kubeconfig}")
    from .access import Cluster, Where

    cluster = Cluster(Where(kubeconfig=str(state.kubeconfig)))
    for kind in ("FineTuneJob", "EvalRun"):
        for item in cluster.request("GET", cluster.path(kind)).get("items", []):
            phase = (item.get("status") or {}).get("phase", "Pending")
            print(f"{kind.lower()}/{item['metadata']['name']}  {phase}")
    return 0
