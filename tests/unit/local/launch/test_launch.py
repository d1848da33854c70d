"""Starting a cluster: what may be told, certificates, and programs that die with it."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cluster.harness.worlds import EMBEDDED, LocalWorld
from kubetune_local.client import CONFIGMAPS, KubeClient
from kubetune_local.kubeconfig import load_kubeconfig
from kubetune_local.kubelet.node import AcceleratorError, accelerator
from kubetune_local.launch.control_plane import VARIABLE, find_programs
from kubetune_local.launch.options import read_options
from kubetune_local.launch.pki import Pki
from kubetune_local.launch.programs import LaunchError, Programs


def test_an_accelerator_is_declared_with_the_labels_of_its_vendor() -> None:
    declared = accelerator("nvidia.com/gpu=2,product=NVIDIA-H100-80GB-HBM3,memory=80Gi")
    labels = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.memory": "81920"}
    assert declared == ("nvidia.com/gpu", 2, labels)


@pytest.mark.parametrize("text", ["gpu=1", "nvidia.com/gpu", "nvidia.com/gpu=one", "nvidia.com/gpu=1,memory=lots"])
def test_an_unreadable_accelerator_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(AcceleratorError, match=r"nvidia.com/gpu=1|80Gi"):
        accelerator(text)


def test_options_have_defaults_that_work(tmp_path: Path) -> None:
    options = read_options(["--directory", str(tmp_path), "--node-label", "zone=a"])
    assert (options.control_plane, options.node_name, options.node_labels) == (False, "local", {"zone": "a"})


def test_a_bad_option_ends_with_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_options(["--directory", str(tmp_path), "--accelerator", "gpu=1"])
    assert "write NAME/RESOURCE=COUNT, for example nvidia.com/gpu=1" in capsys.readouterr().err


def test_keys_are_for_their_owner_only_and_are_made_once(tmp_path: Path) -> None:
    first = Pki(tmp_path / "pki")
    files = [first.ca.key, first.server("api").key, first.client("c", "c", "g").key, first.service_account_key()]
    contents = [path.read_bytes() for path in files]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    again = Pki(tmp_path / "pki")
    assert [path.read_bytes() for path in files] == contents
    assert again.token("admin") == first.token("admin")


def test_says_which_programs_a_control_plane_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etcd").touch(mode=0o755)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(LaunchError, match="has no kube-apiserver, kube-controller-manager, kube-scheduler"):
        find_programs()


async def test_a_program_that_ends_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    programs = Programs(tmp_path)
    programs.start("broken", ["sh", "-c", "echo it went wrong; exit 4"])
    with pytest.raises(LaunchError, match=r"broken ended with code 4(.|\n)*it went wrong"):
        await asyncio.wait_for(programs.watch(), 10)


async def test_stopping_kills_what_does_not_listen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubetune_local.launch.programs.STOP_SECONDS", 0.3)
    programs = Programs(tmp_path)
    programs.start("deaf", ["sh", "-c", "trap '' TERM; echo ready; while true; do sleep 0.1; done"])
    async with asyncio.timeout(10):
        while True:
            if "ready" in programs.log("deaf").read_text():
                break
            await asyncio.sleep(0.01)
    await asyncio.wait_for(programs.stop(), 5)


def test_programs_die_with_a_killed_launcher(tmp_path: Path) -> None:
    code = (
        "import signal, sys; from pathlib import Path; from kubetune_local.launch.programs import Programs; "
        "Programs(Path(sys.argv[1])).start('child', ['sleep', '62.125']); print('ready', flush=True); signal.pause()"
    )
    launcher = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, env=os.environ)
    assert launcher.stdout is not None
    assert launcher.stdout.readline() == b"ready\n"
    (child,) = psutil.Process(launcher.pid).children()
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    if sys.platform != "linux":  # nothing else ties a child to its parent
        child.kill()
    child.wait(10)


async def test_two_clusters_cannot_share_a_folder(tmp_path: Path) -> None:
    from kubetune_local.launch.cluster import Cluster

    options = read_options(["--directory", str(tmp_path)])
    first = Cluster(options)
    with pytest.raises(LaunchError, match="another cluster runs in"):
        Cluster(options)
    first.release()


async def test_a_folder_keeps_the_world_that_it_was_made_in(tmp_path: Path) -> None:
    from kubetune_local.launch.cluster import Cluster

    Cluster(read_options(["--directory", str(tmp_path)])).release()
    with pytest.raises(LaunchError, match="holds the embedded cluster: start it without --control-plane"):
        Cluster(read_options(["--directory", str(tmp_path), "--control-plane"]))


def test_the_embedded_cluster_is_ready_in_two_seconds_and_keeps_its_objects(tmp_path: Path) -> None:
    """Starts it twice: what was there at the end of the first is there in the second, at the same address."""
    world, seen = LocalWorld(EMBEDDED, tmp_path), []
    for _ in range(2):
        begun = time.monotonic()
        world.start()
        seconds = time.monotonic() - begun
        try:
            seen.append(asyncio.run(_kept(world.kubeconfig)))
        finally:
            world.stop()
        assert seconds < 5, "it takes 1 s on a quiet machine; other tests may run beside this one"
    assert seen[0] == seen[1]


async def _kept(kubeconfig: Path) -> tuple[str, str]:
    """Return the address of the API server and the UID of an object, which is made when it is missing."""
    config = load_kubeconfig(kubeconfig)
    async with KubeClient(config) as client:
        items, _ = await client.list(CONFIGMAPS, "default", field_selector="metadata.name=kept")
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}, "data": {"a": "1"}}
        found = items[0] if items else await client.create(CONFIGMAPS, body, "default")
        return config.server, found["metadata"]["uid"]
