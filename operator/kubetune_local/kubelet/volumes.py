"""Volumes of a pod as directories: where each lies on this machine, and the files that the API server fills."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from kubetune_local.client import CLAIMS, SERVICE_ACCOUNTS, VOLUMES, ApiError, KubeClient

from . import downward
from .downward import Unresolvable
from .environment import References
from .expansion import expand

JSON = dict[str, Any]


class MountFailed(Exception):
    """A volume is not there (yet); the message says which and why."""


@dataclass(frozen=True)
class VolumeSource:
    """What is needed to fill the volumes of one pod."""

    client: KubeClient
    references: References
    allocatable: Mapping[str, str]
    directory: Path
    """Folder of the pod's own volumes."""


async def lay_out(pod: JSON, source: VolumeSource) -> dict[str, Path]:
    """Return where each volume of the pod lies, filled.

    Raises:
        MountFailed: one of them cannot be had now.
    """
    places = {}
    for volume in pod["spec"].get("volumes") or []:
        try:
            places[volume["name"]] = await _lay_out(volume, pod, source)
        except (MountFailed, Unresolvable, OSError) as error:
            raise MountFailed(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error
    return places


async def _lay_out(volume: JSON, pod: JSON, source: VolumeSource) -> Path:
    own = source.directory / str(volume["name"])
    namespace = pod["metadata"]["namespace"]
    if "emptyDir" in volume:
        own.mkdir(parents=True, exist_ok=True)
        return own
    if "hostPath" in volume:
        return host_path(volume["hostPath"])
    if "persistentVolumeClaim" in volume:
        return await _claimed(volume["persistentVolumeClaim"]["claimName"], namespace, source.client)
    if "ephemeral" in volume:
        return await _claimed(f"{pod['metadata']['name']}-{volume['name']}", namespace, source.client)
    if "projected" in volume:
        sources, mode = volume["projected"].get("sources") or [], volume["projected"].get("defaultMode", 0o644)
    else:
        sources, mode = _as_projected(volume)
    files: dict[str, tuple[bytes, int]] = {}
    for part in sources:
        files |= await _files_of(part, pod, source, mode)
    _write(own, files)
    return own


def _as_projected(volume: JSON) -> tuple[list[JSON], int]:
    """Return a configMap, secret or downwardAPI volume as the sources of a projected one."""
    if "configMap" in volume:
        spec = volume["configMap"]
        return [{"configMap": spec}], spec.get("defaultMode", 0o644)
    if "secret" in volume:
        spec = volume["secret"]
        return [{"secret": {**spec, "name": spec["secretName"]}}], spec.get("defaultMode", 0o644)
    if "downwardAPI" in volume:
        spec = volume["downwardAPI"]
        return [{"downwardAPI": spec}], spec.get("defaultMode", 0o644)
    kind = next(key for key in volume if key != "name")
    raise MountFailed(f"volumes of type {kind} are not for a kubelet that runs pods as processes; use a claim")


def host_path(spec: JSON) -> Path:
    """Return a path of this machine after the check that its type asks for."""
    path, kind = Path(spec["path"]), spec.get("type") or ""
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True, mode=0o755)
    elif kind == "FileOrCreate":
        path.touch(mode=0o644, exist_ok=True)
    checks: dict[str, Callable[[], bool]] = {
        "Directory": path.is_dir,
        "DirectoryOrCreate": path.is_dir,
        "File": path.is_file,
        "FileOrCreate": path.is_file,
    }
    if kind in checks and not checks[kind]():
        raise MountFailed(f"hostPath type check failed: {path} is not a {kind.removesuffix('OrCreate').lower()}")
    return path


async def _claimed(name: str, namespace: str, client: KubeClient) -> Path:
    try:
        claim = await client.get(CLAIMS, name, namespace)
        bound = claim["spec"].get("volumeName") if claim.get("status", {}).get("phase") == "Bound" else None
        if bound is None:
            raise MountFailed(f'persistentvolumeclaim "{name}" is not bound')
        volume = await client.get(VOLUMES, bound)
    except ApiError as error:
        if error.not_found:
            raise MountFailed(error.message) from error
        raise
    spec = volume["spec"]
    if "hostPath" in spec:
        return host_path(spec["hostPath"])
    if "local" in spec:
        return host_path({"path": spec["local"]["path"], "type": "Directory"})
    raise MountFailed(f'persistentvolume "{bound}" is no directory of this machine (hostPath or local)')


async def _files_of(part: JSON, pod: JSON, source: VolumeSource, mode: int) -> dict[str, tuple[bytes, int]]:
    if config_map := part.get("configMap"):
        return _items("configmap", config_map, await source.references.config_map(config_map["name"]), mode)
    if secret := part.get("secret"):
        return _items("secret", secret, await source.references.secret(secret["name"]), mode)
    if "downwardAPI" in part:
        return {item["path"]: _downward(item, pod, source, mode) for item in part["downwardAPI"].get("items") or []}
    if "serviceAccountToken" in part:
        spec = part["serviceAccountToken"]
        return {spec["path"]: ((await _token(spec, pod, source.client)).encode(), 0o600)}
    raise MountFailed(f"unsupported projection: {', '.join(part)}")


def _items(kind: str, spec: JSON, entries: dict[str, bytes] | None, mode: int) -> dict[str, tuple[bytes, int]]:
    if entries is None:
        if spec.get("optional"):
            return {}
        raise MountFailed(f'{kind} "{spec["name"]}" not found')
    if not spec.get("items"):
        return {name: (value, mode) for name, value in entries.items()}
    files = {}
    for item in spec["items"]:
        if item["key"] in entries:
            files[item["path"]] = (entries[item["key"]], item.get("mode", mode))
        elif not spec.get("optional"):
            raise MountFailed(f"{kind} references non-existent {kind} key: {item['key']}")
    return files


def _downward(item: JSON, pod: JSON, source: VolumeSource, mode: int) -> tuple[bytes, int]:
    if "fieldRef" in item:
        text = downward.field(pod, item["fieldRef"]["fieldPath"])
    else:
        reference = item["resourceFieldRef"]
        container = downward.container_of(pod, reference["containerName"])
        text = downward.resource(container, reference, source.allocatable)
    return text.encode(), item.get("mode", mode)


async def _token(spec: JSON, pod: JSON, client: KubeClient) -> str:
    meta = pod["metadata"]
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": [spec["audience"]] if spec.get("audience") else [],
            "expirationSeconds": spec.get("expirationSeconds", 3600),
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]},
        },
    }
    account = pod["spec"].get("serviceAccountName") or "default"
    try:
        made = await client.create(SERVICE_ACCOUNTS, body, meta["namespace"], "token", account)
    except ApiError as error:
        raise MountFailed(f"failed to fetch token: {error.message}") from error
    return str(made["status"]["token"])


def _write(folder: Path, files: dict[str, tuple[bytes, int]]) -> None:
    """Write the files of a volume once: containers that run already must not see them vanish."""
    if folder.exists():
        return
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name, (content, mode) in files.items():
        path = _inside(fresh, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode | 0o400)
    fresh.rename(folder)


def _inside(folder: Path, name: str) -> Path:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts:
        raise MountFailed(f"the path {name!r} leaves the volume")
    return folder / pure


def mounts_of(container: JSON, places: Mapping[str, Path], environment: Mapping[str, str]) -> dict[str, str]:
    """Return mount path -> real path for a container; folders of a subPath are made.

    Raises:
        Unresolvable: a subPath leaves its volume, or a volume is not declared.
    """
    mounts = {}
    for mount in container.get("volumeMounts") or []:
        if mount["name"] not in places:
            raise Unresolvable(f'volume "{mount["name"]}" is not one of the pod')
        place = places[mount["name"]]
        sub = mount.get("subPath") or expand(mount.get("subPathExpr") or "", environment)
        if sub:
            place = _sub_path(place, sub)
        mounts[mount["mountPath"].rstrip("/") or "/"] = str(place)
    return mounts


def _sub_path(place: Path, sub: str) -> Path:
    try:
        path = _inside(place, sub)
    except MountFailed as error:
        raise Unresolvable(f"failed to prepare subPath: {error}") from error
    if not path.resolve().is_relative_to(place.resolve()):
        raise Unresolvable(f"failed to prepare subPath: {sub!r} leaves the volume by a link")
    if not path.exists():
        path.mkdir(parents=True)
    return path


def real_path(path: str, mounts: Mapping[str, str]) -> Path | None:
    """Return where a path below one of the mounts really lies, or None when it is below none."""
    for mount in sorted(mounts, key=len, reverse=True):
        if PurePosixPath(path).is_relative_to(mount):
            return Path(mounts[mount]) / PurePosixPath(path).relative_to(mount)
    return None
