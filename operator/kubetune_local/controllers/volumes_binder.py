"""The binder: gives claims their volumes, releases the volumes of claims that are gone, protects what is in use."""

from __future__ import annotations

import logging
from typing import Any

from kubetune_local.client import CLAIMS, JSON, PODS, STORAGE_CLASSES, VOLUMES, ApiError, KubeClient, Resource
from kubetune_local.informer import Informers, listening
from kubetune_local.recorder import EventRecorder
from kubetune_local.workqueue import WorkQueue

from .scheduling.claims import claim_names
from .volumes_matching import (
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    annotations_of,
    best_volume,
    default_class,
    mismatch,
    refers_to,
)

log = logging.getLogger(__name__)

Key = tuple[str, str, str]
"""`claim` or `volume`, namespace and name."""

IN_USE_CLAIM, IN_USE_VOLUME = "kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"
BOUND_BY_US, COMPLETED = "pv.kubernetes.io/bound-by-controller", "pv.kubernetes.io/bind-completed"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
ENDED = ("Succeeded", "Failed")


class Binder:
    """Binds claims to volumes, one at a time."""

    def __init__(self, client: KubeClient, informers: Informers) -> None:
        self._client = client
        self._claims, self._volumes = informers.of(CLAIMS), informers.of(VOLUMES)
        self._classes, self._pods = informers.of(STORAGE_CLASSES), informers.of(PODS)
        self._recorder = EventRecorder(client, "persistentvolume-controller")
        self._queue: WorkQueue[Key] = WorkQueue()

    async def run(self) -> None:
        """Work for ever."""
        handlers = (
            (self._claims, self._on_claim),
            (self._volumes, self._on_volume),
            (self._classes, self._on_class),
            (self._pods, self._on_pod),
        )
        try:
            with listening(*handlers):
                await self._queue.work(self._sync, "claim")
        finally:
            self._queue.stop()
            await self._recorder.stop()

    # What makes us look.

    def _on_claim(self, old: JSON | None, new: JSON | None) -> None:
        claim = new or old or {}
        self._queue.add(("claim", claim["metadata"]["namespace"], claim["metadata"]["name"]))
        if new is None and (name := claim["spec"].get("volumeName")):
            self._queue.add(("volume", "", name))

    def _on_volume(self, old: JSON | None, new: JSON | None) -> None:
        volume = new or old or {}
        self._queue.add(("volume", "", volume["metadata"]["name"]))
        if reference := volume["spec"].get("claimRef"):
            self._queue.add(("claim", reference["namespace"], reference["name"]))
        else:
            self._look_at_unbound()

    def _on_class(self, old: JSON | None, new: JSON | None) -> None:
        self._look_at_unbound()

    def _look_at_unbound(self) -> None:
        for claim in self._claims.items():
            if _phase(claim) != "Bound":
                self._queue.add(("claim", claim["metadata"]["namespace"], claim["metadata"]["name"]))

    def _on_pod(self, old: JSON | None, new: JSON | None) -> None:
        """A pod that has ended may have been the last that used its claims."""
        pod = new or old or {}
        if new is None or _phase(new) in ENDED:
            for name in claim_names(pod):
                self._queue.add(("claim", pod["metadata"]["namespace"], name))

    async def _sync(self, key: Key) -> None:
        what, namespace, name = key
        if what == "claim" and (claim := self._claims.get((namespace, name))) is not None:
            await self._sync_claim(claim)
        elif what == "volume" and (volume := self._volumes.get(("", name))) is not None:
            await self._sync_volume(volume)

    # Claims.

    async def _sync_claim(self, claim: JSON) -> None:
        if "deletionTimestamp" in claim["metadata"]:
            await self._unprotect_claim(claim)
            return
        if IN_USE_CLAIM not in (claim["metadata"].get("finalizers") or ()):
            finalizers = [*(claim["metadata"].get("finalizers") or ()), IN_USE_CLAIM]
            claim = await self._change(CLAIMS, claim, {"metadata": {"finalizers": finalizers}})
        if COMPLETED in annotations_of(claim):
            await self._check_bound(claim)
            return
        if "storageClassName" not in claim["spec"] and (class_ := default_class(self._classes.items())):
            claim = await self._change(CLAIMS, claim, {"spec": {"storageClassName": class_["metadata"]["name"]}})
        if claim["spec"].get("volumeName"):
            await self._bind_asked(claim)
        else:
            await self._bind_any(claim)

    async def _check_bound(self, claim: JSON) -> None:
        volume = await self._read_volume(claim["spec"]["volumeName"])
        if volume is not None and (volume["spec"].get("claimRef") or {}).get("uid") == claim["metadata"]["uid"]:
            await self._bind(claim, volume)
        elif _phase(claim) != "Lost":
            await self._change(CLAIMS, claim, {"status": {"phase": "Lost"}}, "status")
            lost = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
            self._recorder.warning(claim, "ClaimLost", lost)

    async def _bind_asked(self, claim: JSON) -> None:
        """Bind the volume that the claim names, if there is one and it is free."""
        name = claim["spec"]["volumeName"]
        volume = self._volumes.get(("", name))
        if volume is None:
            return
        if volume["spec"].get("claimRef") and not refers_to(volume, claim):
            self._recorder.warning(claim, "FailedBinding", f'volume "{name}" already bound to a different claim.')
        elif why := mismatch(volume, claim):
            self._recorder.warning(claim, "VolumeMismatch", f'Cannot bind to requested volume "{name}": {why}')
        else:
            await self._bind(claim, volume)

    async def _bind_any(self, claim: JSON) -> None:
        name = claim["spec"].get("storageClassName") or ""
        class_ = self._classes.get(("", name))
        late = class_ is not None and class_.get("volumeBindingMode") == "WaitForFirstConsumer"
        waits = late and SELECTED_NODE not in annotations_of(claim)
        reserved = [volume for volume in self._volumes.items() if refers_to(volume, claim)]
        volume = best_volume(reserved if waits else self._volumes.items(), claim)
        if volume is not None:
            await self._bind(claim, volume)
        elif waits:
            why = "waiting for first consumer to be created before binding"
            self._recorder.normal(claim, "WaitForFirstConsumer", why)
        elif not name:
            why = "no persistent volumes available for this claim and no storage class is set"
            self._recorder.normal(claim, "FailedBinding", why)
        elif class_ is None:
            self._recorder.warning(claim, "ProvisioningFailed", f'storageclass.storage.k8s.io "{name}" not found')
        elif class_["provisioner"] == NO_PROVISIONER:
            why = f'no persistent volumes available for this claim, and storage class "{name}" makes none'
            self._recorder.normal(claim, "FailedBinding", why)
        else:
            await self._ask_for_volume(claim, class_["provisioner"])

    async def _ask_for_volume(self, claim: JSON, provisioner: str) -> None:
        if annotations_of(claim).get(STORAGE_PROVISIONER) != provisioner:
            change = {"metadata": {"annotations": {STORAGE_PROVISIONER: provisioner}}}
            claim = await self._change(CLAIMS, claim, change)
            why = (
                f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by"
                " the system administrator. If volume creation is delayed, please verify that the provisioner is"
                " running and correctly registered."
            )
            self._recorder.normal(claim, "ExternalProvisioning", why)

    async def _bind(self, claim: JSON, volume: JSON) -> None:
        """Write what is not yet written of a bond: the volume first, so that nobody else takes it."""
        meta, name = claim["metadata"], volume["metadata"]["name"]
        reference = volume["spec"].get("claimRef") or {}
        if reference.get("uid") != meta["uid"]:
            full = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": meta["namespace"]}
            change: JSON = {"spec": {"claimRef": {**full, "name": meta["name"], "uid": meta["uid"]}}}
            if not reference:
                change["metadata"] = {"annotations": {BOUND_BY_US: "yes"}}
            volume = await self._change(VOLUMES, volume, change)
        if _phase(volume) != "Bound":
            volume = await self._change(VOLUMES, volume, {"status": {"phase": "Bound"}}, "status")
        if COMPLETED not in annotations_of(claim):
            marks = {COMPLETED: "yes"} | ({} if claim["spec"].get("volumeName") else {BOUND_BY_US: "yes"})
            change = {"metadata": {"annotations": marks}, "spec": {"volumeName": name}}
            claim = await self._change(CLAIMS, claim, change)
        if _phase(claim) != "Bound":
            capacity, modes = volume["spec"]["capacity"], volume["spec"]["accessModes"]
            status = {"phase": "Bound", "accessModes": modes, "capacity": {"storage": capacity["storage"]}}
            await self._change(CLAIMS, claim, {"status": status}, "status")

    async def _unprotect_claim(self, claim: JSON) -> None:
        meta = claim["metadata"]
        if IN_USE_CLAIM not in (meta.get("finalizers") or ()):
            return
        pods, _ = await self._client.list(PODS, meta["namespace"])
        if not any(meta["name"] in claim_names(pod) and _uses_volumes(pod) for pod in pods):
            await self._let_go(CLAIMS, claim, IN_USE_CLAIM)

    # Volumes.

    async def _sync_volume(self, volume: JSON) -> None:
        reference = volume["spec"].get("claimRef") or {}
        if not reference.get("uid"):
            phase = "Available"
        elif await self._claim_lives(reference):
            phase = "Bound" if _phase(volume) == "Bound" else ""  # the claim binds it
        else:
            phase = "Released"
        if phase and phase != _phase(volume) and not (phase == "Released" and _phase(volume) == "Failed"):
            volume = await self._change(VOLUMES, volume, {"status": {"phase": phase}}, "status")
            if phase == "Available":
                self._look_at_unbound()
        deleted = "deletionTimestamp" in volume["metadata"]
        if deleted and phase != "Bound" and IN_USE_VOLUME in (volume["metadata"].get("finalizers") or ()):
            await self._let_go(VOLUMES, volume, IN_USE_VOLUME)

    async def _claim_lives(self, reference: JSON) -> bool:
        known = self._claims.get((reference["namespace"], reference["name"]))
        if known is not None and known["metadata"]["uid"] == reference["uid"]:
            return True
        try:
            found = await self._client.get(CLAIMS, reference["name"], reference["namespace"])
        except ApiError as error:
            if error.not_found:
                return False
            raise
        return bool(found["metadata"]["uid"] == reference["uid"])

    async def _read_volume(self, name: str) -> JSON | None:
        """Return a volume; asked for at the API server before it is taken for lost."""
        if (known := self._volumes.get(("", name))) is not None:
            return known
        try:
            return await self._client.get(VOLUMES, name)
        except ApiError as error:
            if error.not_found:
                return None
            raise

    # Writes.

    async def _let_go(self, resource: Resource, obj: JSON, finalizer: str) -> None:
        kept = [each for each in obj["metadata"]["finalizers"] if each != finalizer]
        await self._change(resource, obj, {"metadata": {"finalizers": kept or None}})

    async def _change(self, resource: Resource, obj: JSON, change: JSON, subresource: str | None = None) -> JSON:
        """Change the object as it is known to us. Raises `ApiError` 409 when it was written since."""
        meta: dict[str, Any] = obj["metadata"]
        guard = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
        body = {**change, "metadata": {**change.get("metadata", {}), **guard}}
        informer = self._claims if resource is CLAIMS else self._volumes
        made = await self._client.patch(resource, meta["name"], body, meta.get("namespace"), subresource=subresource)
        informer.observe(made)
        return made


def _phase(obj: JSON) -> str:
    return str((obj.get("status") or {}).get("phase", ""))


def _uses_volumes(pod: JSON) -> bool:
    return bool(pod["spec"].get("nodeName")) and _phase(pod) not in ENDED
