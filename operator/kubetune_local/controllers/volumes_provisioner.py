"""The provisioner of volumes: a directory for each claim whose class is ours, removed with the volume.

It is an external provisioner as clusters know them: whoever binds claims asks for a volume by an annotation on the
claim, and binds it when it is there. So it works beside our own binder and beside kube-controller-manager alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from pathlib import Path

from kubetune_local.apiserver.schema.quantity import parse_quantity
from kubetune_local.client import CLAIMS, JSON, STORAGE_CLASSES, VOLUMES, ApiError, KubeClient
from kubetune_local.informer import Informers, listening
from kubetune_local.recorder import EventRecorder
from kubetune_local.workqueue import WorkQueue

from .volumes_matching import (
    DEFAULT_CLASS,
    LOCAL_PROVISIONER,
    PROVISIONED_BY,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    annotations_of,
    default_class,
    requested,
)

log = logging.getLogger(__name__)

CLASS_NAME = "local"
GIB = 2**30


class VolumeRefused(Exception):
    """Why a claim cannot have a directory."""


class Provisioner:
    """Makes directories for claims below one folder."""

    def __init__(self, client: KubeClient, informers: Informers, folder: Path) -> None:
        self._client = client
        self._claims, self._volumes = informers.of(CLAIMS), informers.of(VOLUMES)
        self._classes = informers.of(STORAGE_CLASSES)
        self._folder = folder.absolute()
        self._recorder = EventRecorder(client, LOCAL_PROVISIONER)
        self._queue: WorkQueue[tuple[str, str, str]] = WorkQueue()

    async def run(self) -> None:
        """Work for ever."""
        self._folder.mkdir(parents=True, exist_ok=True)
        await self._ensure_class()
        handlers = (
            (self._claims, self._on_claim),
            (self._volumes, self._on_volume),
            (self._classes, self._on_class),
        )
        try:
            with listening(*handlers):
                await self._queue.work(self._sync, "volume")
        finally:
            self._queue.stop()
            await self._recorder.stop()

    async def _ensure_class(self) -> None:
        """Make our class if there is none; it is the default unless there is another."""
        await self._classes.synced.wait()
        if self._classes.get(("", CLASS_NAME)) is not None:
            return
        is_default = default_class(self._classes.items()) is None
        body = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": CLASS_NAME, "annotations": {DEFAULT_CLASS: "true"} if is_default else {}},
            "provisioner": LOCAL_PROVISIONER,
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "Immediate",
        }
        try:
            self._classes.observe(await self._client.create(STORAGE_CLASSES, body))
        except ApiError as error:
            if not error.conflict:
                raise

    def _on_claim(self, old: JSON | None, new: JSON | None) -> None:
        if new is not None and _asks(new):
            self._queue.add(("claim", new["metadata"]["namespace"], new["metadata"]["name"]))

    def _on_volume(self, old: JSON | None, new: JSON | None) -> None:
        volume = new or old or {}
        if not self._is_ours(volume):
            return
        if new is None:
            if volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
                self._queue.add(("directory", "", volume["metadata"]["name"]))
        elif (new.get("status") or {}).get("phase") == "Released":
            self._queue.add(("volume", "", new["metadata"]["name"]))

    def _on_class(self, old: JSON | None, new: JSON | None) -> None:
        for claim in self._claims.items():
            self._on_claim(None, claim)

    def _is_ours(self, volume: JSON) -> bool:
        """Return whether we made a volume: nothing else is ever removed."""
        path = (volume["spec"].get("hostPath") or {}).get("path")
        expected = str(self._folder / volume["metadata"]["name"])
        return annotations_of(volume).get(PROVISIONED_BY) == LOCAL_PROVISIONER and path == expected

    async def _sync(self, key: tuple[str, str, str]) -> None:
        what, namespace, name = key
        if what == "claim":
            claim = self._claims.get((namespace, name))
            if claim is not None and _asks(claim):
                await self._provide(key, claim)
            return
        volume = self._volumes.get(("", name))
        if what == "directory" and volume is None:
            await asyncio.to_thread(_remove, self._folder / name)
        elif volume is not None and self._is_ours(volume):
            await self._reclaim(volume)

    # Making.

    async def _provide(self, key: tuple[str, str, str], claim: JSON) -> None:
        class_ = self._classes.get(("", claim["spec"].get("storageClassName") or ""))
        if class_ is None or class_["provisioner"] != LOCAL_PROVISIONER:
            return
        name = f"pvc-{claim['metadata']['uid']}"
        if self._volumes.get(("", name)) is not None:
            return
        if class_.get("volumeBindingMode") == "WaitForFirstConsumer" and SELECTED_NODE not in annotations_of(claim):
            return
        try:
            check_claim(claim, shutil.disk_usage(self._folder).free)
            await asyncio.to_thread((self._folder / name).mkdir, exist_ok=True)
        except (VolumeRefused, OSError) as error:
            self._recorder.warning(claim, "ProvisioningFailed", f"no directory for this claim: {error}")
            self._queue.retry(key)
            return
        try:
            self._volumes.observe(await self._client.create(VOLUMES, volume_for(claim, class_, self._folder / name)))
        except ApiError as error:
            if not error.conflict:
                raise
        else:
            self._recorder.normal(claim, "ProvisioningSucceeded", f"Successfully provisioned volume {name}")

    # Removing.

    async def _reclaim(self, volume: JSON) -> None:
        spec, meta = volume["spec"], volume["metadata"]
        released = (volume.get("status") or {}).get("phase") == "Released"
        if not released or spec.get("persistentVolumeReclaimPolicy") != "Delete":
            return
        try:
            await asyncio.to_thread(_remove, self._folder / meta["name"])
        except OSError as error:
            self._recorder.warning(volume, "VolumeFailedDelete", str(error))
            raise
        try:
            await self._client.delete(VOLUMES, meta["name"], uid=meta["uid"])
        except ApiError as error:
            if not (error.not_found or error.conflict):
                raise


def check_claim(claim: JSON, free: int) -> None:
    """Raise `VolumeRefused` for what a directory cannot be.

    Args:
        claim: The claim.
        free: Bytes free on the disk of the directories.
    """
    spec = claim["spec"]
    if spec.get("volumeMode", "Filesystem") != "Filesystem":
        raise VolumeRefused("volumeMode Block is not to be had here, a directory is a Filesystem")
    if spec.get("dataSource") or spec.get("dataSourceRef"):
        raise VolumeRefused("dataSource is not to be had here, directories begin empty")
    if spec.get("selector"):
        raise VolumeRefused("a claim with a selector is for volumes that were made before")
    if parse_quantity(requested(claim)) > free:
        raise VolumeRefused(
            f"{requested(claim)} asked for, and {free / GIB:.0f}Gi are free on the disk; ask for less, or free space"
        )


def volume_for(claim: JSON, class_: JSON, directory: Path) -> JSON:
    """Return the volume of a claim, reserved for it."""
    meta, spec = claim["metadata"], claim["spec"]
    reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": meta["namespace"]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": directory.name, "annotations": {PROVISIONED_BY: LOCAL_PROVISIONER}},
        "spec": {
            "capacity": {"storage": requested(claim)},
            "accessModes": list(spec["accessModes"]),
            "volumeMode": "Filesystem",
            "storageClassName": class_["metadata"]["name"],
            "persistentVolumeReclaimPolicy": class_.get("reclaimPolicy", "Delete"),
            "claimRef": {**reference, "name": meta["name"], "uid": meta["uid"]},
            "hostPath": {"path": str(directory), "type": "Directory"},
        },
    }


def _asks(claim: JSON) -> bool:
    if "deletionTimestamp" in claim["metadata"] or claim["spec"].get("volumeName"):
        return False
    return annotations_of(claim).get(STORAGE_PROVISIONER) == LOCAL_PROVISIONER


def _remove(directory: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(directory)
