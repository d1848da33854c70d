"""The Node object: what this machine has, what it is said to have, and the heartbeat."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
from pathlib import Path
from typing import Any

import psutil

from kubetune_local import timestamps
from kubetune_local.apiserver.schema.quantity import parse_quantity
from kubetune_local.client import LEASES, NAMESPACES, NODES, STRATEGIC, UNREACHABLE, ApiError, KubeClient

from .settings import KubeletSettings

JSON = dict[str, Any]

log = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
VERSION = "v1.36.3"
"""The version whose behaviour this kubelet follows."""
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "AMD64": "amd64"}


class AcceleratorError(ValueError):
    """A declaration of an accelerator cannot be read; the message says how to write one."""


def accelerator(declaration: str) -> tuple[str, int, dict[str, str]]:
    """Return resource, count and node labels of `nvidia.com/gpu=1,product=NVIDIA-H100-80GB-HBM3,memory=80Gi`.

    Further entries become labels `<resource>.<key>`; memory is told in MiB, as NVIDIA's feature discovery does.

    Raises:
        AcceleratorError: it is not of this form.
    """
    first, *rest = declaration.split(",")
    name, equals, count = first.partition("=")
    if "/" not in name or not equals or not count.isdigit():
        raise AcceleratorError(f"{declaration!r}: write NAME/RESOURCE=COUNT, for example nvidia.com/gpu=1")
    labels = {}
    for entry in rest:
        key, equals, value = entry.partition("=")
        if not equals or not value:
            raise AcceleratorError(f"{declaration!r}: after the count write KEY=VALUE, for example memory=80Gi")
        if key == "memory":
            try:
                value = str(int(parse_quantity(value)) // 2**20)
            except ValueError as error:
                raise AcceleratorError(f"{declaration!r}: {value!r} is no quantity such as 80Gi") from error
        labels[f"{name}.{key}"] = value
    return name, int(count), labels


def capacity(settings: KubeletSettings) -> dict[str, str]:
    """Return what this machine has, and the accelerators that it is said to have."""
    settings.directory.mkdir(parents=True, exist_ok=True)
    amounts = {
        "cpu": str(_cpus()),
        "memory": f"{_memory() // 1024}Ki",
        "ephemeral-storage": f"{psutil.disk_usage(str(settings.directory)).total // 1024}Ki",
        "pods": "110",
    }
    for declaration in settings.accelerators:
        name, count, _ = accelerator(declaration)
        amounts[name] = str(count)
    return amounts


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> int:
    """Return the machine's memory, or the limit of the control group that we are in."""
    total = int(psutil.virtual_memory().total)
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            return min(total, int(text))
    return total


class NodeKeeper:
    """Registers the node and keeps it alive."""

    def __init__(self, client: KubeClient, settings: KubeletSettings, port: int) -> None:
        self._client = client
        self._settings = settings
        self._port = port
        self.capacity = capacity(settings)

    def labels(self) -> dict[str, str]:
        """Return the labels of the node."""
        architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
        labels = {
            "kubernetes.io/hostname": self._settings.node_name,
            "kubernetes.io/os": platform.system().lower(),
            "kubernetes.io/arch": architecture,
        }
        for declaration in self._settings.accelerators:
            labels |= accelerator(declaration)[2]
        return labels | self._settings.labels

    async def register(self) -> JSON:
        """Create the node, or bring the one of an earlier start up to date; returns it."""
        name = self._settings.node_name
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": self.labels()},
            "spec": {},
            "status": self.status(ready=True),
        }
        try:
            await self._client.create(NODES, node)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            await self._client.patch(NODES, name, {"metadata": {"labels": self.labels()}})
        found = await self.publish(ready=True)
        await self._renew(found)
        return found

    async def publish(self, *, ready: bool) -> JSON:
        """Write the status of the node."""
        name, status = self._settings.node_name, self.status(ready=ready)
        old = (await self._client.get(NODES, name)).get("status", {})
        dropped = {key: None for key in (old.get("capacity") or {}) if key not in status["capacity"]}
        status["capacity"] |= dropped
        status["allocatable"] |= dropped
        known = {entry["type"]: entry for entry in old.get("conditions") or []}
        for condition in status["conditions"]:
            before = known.get(condition["type"], {})
            if before.get("status") == condition["status"] and before.get("lastTransitionTime"):
                condition["lastTransitionTime"] = before["lastTransitionTime"]
        body = {"status": status}
        return await self._client.patch(NODES, name, body, subresource="status", content_type=STRATEGIC)

    def status(self, *, ready: bool) -> JSON:
        """Return the status as it is now."""
        stamp = timestamps.rfc3339(timestamps.now())
        conditions = [
            {"type": kind, "status": "False", "reason": f"KubeletHas{what}", "message": f"kubelet has {told}"}
            for kind, what, told in (
                ("MemoryPressure", "SufficientMemory", "sufficient memory available"),
                ("DiskPressure", "NoDiskPressure", "no disk pressure"),
                ("PIDPressure", "SufficientPID", "sufficient PID available"),
            )
        ]
        reason, message = ("KubeletReady", "kubelet runs pods as processes")
        if not ready:
            reason, message = ("KubeletNotReady", "kubelet is going down")
        conditions.append({"type": "Ready", "status": str(ready), "reason": reason, "message": message})
        return {
            "capacity": dict(self.capacity),
            "allocatable": dict(self.capacity),
            "conditions": [{**each, "lastHeartbeatTime": stamp, "lastTransitionTime": stamp} for each in conditions],
            "addresses": [
                {"type": "InternalIP", "address": "127.0.0.1"},
                {"type": "Hostname", "address": self._settings.node_name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}},
            "nodeInfo": _node_info(),
        }

    async def run(self) -> None:
        """Renew the lease for ever; register anew when someone deleted the node."""
        while True:
            await asyncio.sleep(self._settings.heartbeat_seconds)
            try:
                await self._renew(await self._client.get(NODES, self._settings.node_name))
            except ApiError as error:
                if error.not_found:
                    await self._register_again()
                else:
                    log.warning("heartbeat: %s", error)
            except UNREACHABLE as error:
                log.debug("heartbeat: %s", error)

    async def _register_again(self) -> None:
        try:
            await self.register()
        except (ApiError, *UNREACHABLE) as error:
            log.warning("the node cannot be registered: %s", error)

    async def _renew(self, node: JSON) -> None:
        ready: JSON = next((each for each in node["status"].get("conditions", []) if each["type"] == "Ready"), {})
        if ready.get("status") == "Unknown":  # the node controller gave us up while the machine slept
            await self.publish(ready=True)
        name = self._settings.node_name
        spec = {
            "holderIdentity": name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": timestamps.rfc3339_micro(timestamps.now()),
        }
        try:
            await self._client.patch(LEASES, name, {"spec": spec}, LEASE_NAMESPACE)
        except ApiError as error:
            if not error.not_found:
                raise
            await self._create_lease(node, spec)

    async def _create_lease(self, node: JSON, spec: JSON) -> None:
        owner = {"apiVersion": "v1", "kind": "Node", "name": node["metadata"]["name"], "uid": node["metadata"]["uid"]}
        meta = {"name": node["metadata"]["name"], "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}
        try:
            await self._client.create(LEASES, lease, LEASE_NAMESPACE)
        except ApiError as error:
            if not error.not_found:
                raise
            space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LEASE_NAMESPACE}}
            await self._client.create(NAMESPACES, space)
            await self._client.create(LEASES, lease, LEASE_NAMESPACE)


def _node_info() -> JSON:
    return {
        "machineID": "",
        "systemUUID": "",
        "bootID": "",
        "kernelVersion": platform.release(),
        "osImage": platform.platform(),
        "containerRuntimeVersion": "process://1",
        "kubeletVersion": VERSION,
        "kubeProxyVersion": "",
        "operatingSystem": platform.system().lower(),
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
    }
