"""Volumes as directories."""

import base64
import stat
from pathlib import Path
from typing import Any

import pytest

from kubetune_local.kubelet.downward import Unresolvable
from kubetune_local.kubelet.environment import References
from kubetune_local.kubelet.volumes import MountFailed, VolumeSource, lay_out, mounts_of, real_path
from unit.local.kubelet.builders import FakeApi, container, pod

CLAIM = {"spec": {"volumeName": "pv-1"}, "status": {"phase": "Bound"}}


def source(tmp_path: Path, *objects: tuple[str, str, dict[str, Any]]) -> VolumeSource:
    api: Any = FakeApi(*objects)
    return VolumeSource(api, References(api, "default"), {"cpu": "4"}, tmp_path / "volumes")


async def place(tmp_path: Path, volume: dict[str, Any], *objects: tuple[str, str, dict[str, Any]]) -> Path:
    places = await lay_out(pod(volumes=[{"name": "v", **volume}]), source(tmp_path, *objects))
    return places["v"]


async def test_config_map_entries_are_files_with_their_mode(tmp_path: Path) -> None:
    entries = ("configmaps", "cm", {"data": {"a": "text"}, "binaryData": {"b": base64.b64encode(b"\xff").decode()}})
    items = [{"key": "a", "path": "deep/a.txt", "mode": 0o440}, {"key": "b", "path": "b"}]
    folder = await place(tmp_path, {"configMap": {"name": "cm", "items": items}}, entries)
    assert (folder / "deep/a.txt").read_text() == "text"
    assert stat.S_IMODE((folder / "deep/a.txt").stat().st_mode) == 0o440
    assert (folder / "b").read_bytes() == b"\xff"


async def test_secret_entries_are_files(tmp_path: Path) -> None:
    keys = ("secrets", "keys", {"data": {"token": base64.b64encode(b"s3cret").decode()}})
    folder = await place(tmp_path, {"secret": {"secretName": "keys", "defaultMode": 0o400}}, keys)
    assert (folder / "token").read_text() == "s3cret"
    assert stat.S_IMODE((folder / "token").stat().st_mode) == 0o400


async def test_projected_volumes_gather_every_source(tmp_path: Path) -> None:
    parts = [
        {"configMap": {"name": "cm"}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.annotations"}}]}},
        {"serviceAccountToken": {"path": "token"}},
    ]
    folder = await place(tmp_path, {"projected": {"sources": parts}}, ("configmaps", "cm", {"data": {"a": "1"}}))
    assert (folder / "a").read_text() == "1"
    assert (folder / "labels").read_text() == 'note="say \\"hi\\""'
    assert (folder / "token").read_text() == "token-of-default"


async def test_a_bound_claim_is_the_directory_of_its_volume(tmp_path: Path) -> None:
    volume = {"spec": {"hostPath": {"path": str(tmp_path / "disk"), "type": "DirectoryOrCreate"}}}
    objects = (("persistentvolumeclaims", "ws", CLAIM), ("persistentvolumes", "pv-1", volume))
    assert await place(tmp_path, {"persistentVolumeClaim": {"claimName": "ws"}}, *objects) == tmp_path / "disk"
    assert (tmp_path / "disk").is_dir()


async def test_files_of_a_running_pod_are_left_alone(tmp_path: Path) -> None:
    volume = {"configMap": {"name": "cm"}}
    first = await place(tmp_path, volume, ("configmaps", "cm", {"data": {"a": "1"}}))
    again = await place(tmp_path, volume, ("configmaps", "cm", {"data": {"a": "2"}}))
    assert first == again
    assert (again / "a").read_text() == "1"


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"configMap": {"name": "cm"}}, 'configmap "cm" not found'),
        ({"persistentVolumeClaim": {"claimName": "gone"}}, 'persistentvolumeclaims "gone" not found'),
        ({"persistentVolumeClaim": {"claimName": "waits"}}, 'persistentvolumeclaim "waits" is not bound'),
        ({"hostPath": {"path": "/no/such/folder", "type": "Directory"}}, "hostPath type check failed"),
        (
            {"nfs": {"server": "s", "path": "/"}},
            "volumes of type nfs are not for a kubelet that runs pods as processes",
        ),
        ({"configMap": {"name": "evil"}}, "leaves the volume"),
    ],
)
async def test_says_which_volume_cannot_be_had_and_why(tmp_path: Path, volume: dict[str, Any], message: str) -> None:
    waiting = ("persistentvolumeclaims", "waits", {"spec": {}, "status": {"phase": "Pending"}})
    evil = ("configmaps", "evil", {"data": {"../x": "1"}})
    with pytest.raises(MountFailed, match=message) as caught:
        await place(tmp_path, volume, waiting, evil)
    assert 'MountVolume.SetUp failed for volume "v"' in str(caught.value)


def test_mounts_map_pod_paths_to_folders(tmp_path: Path) -> None:
    mounts = [
        {"name": "v", "mountPath": "/workspace/"},
        {"name": "v", "mountPath": "/out", "subPathExpr": "runs/$(NAME)"},
    ]
    found = mounts_of(container(volumeMounts=mounts), {"v": tmp_path}, {"NAME": "one"})
    assert found == {"/workspace": str(tmp_path), "/out": str(tmp_path / "runs/one")}
    assert (tmp_path / "runs/one").is_dir()
    assert real_path("/out/a/b", found) == tmp_path / "runs/one/a/b"
    assert real_path("/outside", found) is None


def test_a_sub_path_cannot_leave_its_volume_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / "link").symlink_to(tmp_path)
    spec = container(volumeMounts=[{"name": "v", "mountPath": "/m", "subPath": "link/x"}])
    with pytest.raises(Unresolvable, match="leaves the volume"):
        mounts_of(spec, {"v": tmp_path / "volume"}, {})
