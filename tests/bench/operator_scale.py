"""The operator at scale, on a real API server and Job controller, with a kubelet that has no containers.

    make bench-operator              1,000 jobs at 20 a second; 10,000 objects          (KUBEBUILDER_ASSETS is needed)
    QUICK=1 make bench-operator      100 jobs, 1,000 objects
    SCENARIOS="empty writes" make bench-operator     some of: empty, writes, rate, many

empty   start to ready, and memory, in an empty cluster
writes  what the operator writes in the life of one job, without and with an evaluation (S3)
rate    jobs made at a steady rate: object to Job, beside Job to pod by the kube-controller-manager in the same run;
        pod runs to status says so (S1)
many    start to ready, memory, CPU and writes with many objects, nine in ten of them finished (S2)

Every time comes from the audit log of the API server: the moment at which it answered a write, in microseconds by one
clock. The benchmark, the control plane and the operator share the machine. The last line is one JSON document.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

sys.path[:0] = [str(Path(__file__).parents[2] / part) for part in ("crds", "operator", "tests")]

from bench.scale import audit  # noqa: E402 - after the path is set
from bench.scale.hollow import HollowKubelet  # noqa: E402
from bench.scale.plane import AuditedPlane, missing  # noqa: E402
from bench.scale.process import MeasuredOperator  # noqa: E402
from cluster.harness.manifests import fine_tune_job, tasks  # noqa: E402
from cluster.harness.under_test import EVAL_RUNS, FINE_TUNE_JOBS, ended, install_definitions  # noqa: E402
from kubetune_local.client import JOBS, NAMESPACES, UNREACHABLE, KubeClient  # noqa: E402

JSON = dict[str, Any]
STAGES_RUN_SECONDS = 1.0
PARALLEL_WRITES = 12


@dataclass(frozen=True)
class Size:
    """How much is made."""

    jobs: int
    rate: float
    objects: int
    idle_seconds: float


FULL = Size(jobs=1000, rate=20, objects=10_000, idle_seconds=60)
QUICK = Size(jobs=100, rate=20, objects=1000, idle_seconds=20)


@dataclass(frozen=True)
class Bench:
    """What each scenario works with."""

    size: Size
    plane: AuditedPlane
    client: KubeClient
    kubelet: HollowKubelet
    operator: MeasuredOperator

    async def log_since(self, offset: int) -> list[audit.Call]:
        """Return what was written since an offset; the API server writes its log once a second."""
        await asyncio.sleep(2.5)
        return audit.calls(self.plane.audit_log, offset)

    def offset(self) -> int:
        """Return the present end of the log."""
        return self.plane.audit_log.stat().st_size if self.plane.audit_log.exists() else 0


async def empty(bench: Bench) -> JSON:
    """Measure an operator that has nothing to do."""
    ready = [await bench.operator.start()]
    for _ in range(2):
        await bench.operator.stop()
        ready.append(await bench.operator.start())
    await asyncio.sleep(10)
    idle = await bench.operator.idle(bench.size.idle_seconds / 2)
    return {
        "readySeconds": round(statistics.median(ready), 2),
        "rssMiB": idle["rssMiB"],
        "cpuPercent": idle["cpuPercent"],
    }


async def writes(bench: Bench) -> JSON:
    """Count what the operator writes for one job."""
    await bench.operator.start()
    figures = {}
    for name, evaluation in (("trained", None), ("evaluated", tasks())):
        offset = await _settled(bench)
        await bench.client.create(FINE_TUNE_JOBS, fine_tune_job(name, evaluation=evaluation), "lives")
        found = await bench.client.wait_for(FINE_TUNE_JOBS, name, "lives", ended, 60)
        await asyncio.sleep(2)
        counted = audit.operator_writes(await bench.log_since(offset))
        events = counted.pop("create events", 0)
        figures[name] = {"writes": counted.total(), "events": events, "each": dict(counted)}
        print(f"writes  {name}: {found['status']['phase'] if found else '?'}, {figures[name]}", flush=True)
    return figures


async def rate(bench: Bench) -> JSON:
    """Make jobs at a steady rate; their pods run on until the end."""
    size = bench.size
    await bench.operator.start()
    await bench.operator.leads()
    offset, load = await _settled(bench), psutil.cpu_times()
    began, late, used = time.monotonic(), 0.0, bench.operator.cpu_seconds()
    calls, already = bench.operator.requests(), len(bench.kubelet.owners)
    async with asyncio.TaskGroup() as group:
        for number in range(size.jobs):
            due = began + number / size.rate
            late = max(late, time.monotonic() - due)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            manifest = fine_tune_job(f"job-{number:05}")
            group.create_task(bench.client.create(FINE_TUNE_JOBS, manifest, "busy"))
    made = time.monotonic() - began
    await until("every job has a pod that runs", lambda: len(bench.kubelet.owners) >= already + size.jobs, 180)
    await asyncio.sleep(15)
    took, made_calls = time.monotonic() - began, bench.operator.requests_since(calls)
    log = await bench.log_since(offset)
    ours, theirs = audit.object_to_job(log), audit.job_to_pod(log)
    figures = {
        "jobs": size.jobs,
        "perSecond": round(size.jobs / made, 1),
        "objectToJob": spread(ours, size.jobs),
        "jobToPod": spread(theirs, size.jobs),
        "runningToStatus": spread(audit.running_to_status(log, bench.kubelet.owners), size.jobs),
        "benchLateSeconds": round(late, 3),
        "operatorCpuSeconds": round(bench.operator.cpu_seconds() - used, 1),
        "operatorCpuByThread": bench.operator.threads(),
        "callsPerJob": {key: round(count / size.jobs, 2) for key, count in made_calls.items()},
        "machineBusyPercent": _busy(load),
        "seconds": round(took, 1),
        "rssMiB": bench.operator.rss(),
    }
    return figures


async def many(bench: Bench) -> JSON:
    """Restart the operator with many objects; those unfinished are suspended: nothing is left to do for any of them."""
    total, finished = bench.size.objects, bench.size.objects * 9 // 10
    await bench.operator.start()
    example = await _finished_status(bench)
    suspended = [fine_tune_job(f"suspended-{number:05}", suspend=True) for number in range(total - finished)]
    await bench.operator.stop()
    done = [fine_tune_job(f"finished-{number:05}") for number in range(finished)]

    async def make_finished(manifest: JSON) -> None:
        await bench.client.create(FINE_TUNE_JOBS, manifest, "many")
        body = {"status": example}
        await bench.client.patch(FINE_TUNE_JOBS, manifest["metadata"]["name"], body, "many", subresource="status")

    async def make(manifest: JSON) -> None:
        await bench.client.create(FINE_TUNE_JOBS, manifest, "many")

    began = time.monotonic()
    await _at_once(make_finished, done)
    await _at_once(make, suspended)
    print(f"many    {total} objects made in {time.monotonic() - began:.0f} s", flush=True)
    await bench.operator.start()
    first = await _quiet(bench, 120)
    await bench.operator.stop()
    offset = bench.offset()
    ready = await bench.operator.start()
    await asyncio.sleep(15)
    start_writes = audit.operator_writes(await bench.log_since(offset))
    offset = bench.offset()
    idle = await bench.operator.idle(bench.size.idle_seconds)
    idle_writes = audit.operator_writes(await bench.log_since(offset))
    return {
        "objects": total,
        "firstPassSeconds": first,
        "readySeconds": round(ready, 2),
        "writesAtStart": start_writes.total(),
        "idleWrites": idle_writes.total(),
        **idle,
    }


async def _finished_status(bench: Bench) -> JSON:
    """Return the status of a job that ran to its end."""
    await bench.client.create(FINE_TUNE_JOBS, fine_tune_job("example"), "lives")
    found = await bench.client.wait_for(FINE_TUNE_JOBS, "example", "lives", ended, 60)
    assert found is not None
    status: JSON = found["status"]
    return status


async def _at_once(work: Callable[[JSON], Awaitable[None]], manifests: Iterable[JSON]) -> None:
    """Work on all of them, some at a time."""
    left = iter(manifests)

    async def worker() -> None:
        for manifest in left:
            await work(manifest)

    async with asyncio.TaskGroup() as group:
        for _ in range(PARALLEL_WRITES):
            group.create_task(worker())


async def until(what: str, holds: Callable[[], bool], seconds: float) -> None:
    """Return when it holds. Raises `AssertionError` when it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not after {seconds:.0f} s"
        await asyncio.sleep(0.5)


async def _settled(bench: Bench) -> int:
    """Return the end of the log once what was written is in it."""
    await asyncio.sleep(2)
    return bench.offset()


async def _quiet(bench: Bench, limit: float) -> float:
    """Return after how many seconds the operator stopped to write; it is quiet when it writes nothing for 5 s."""
    began = last = time.monotonic()
    size = -1
    while time.monotonic() - last < 6:
        assert time.monotonic() - began < limit, f"the operator still writes after {limit:.0f} s"
        await asyncio.sleep(1)
        now = sum(audit.operator_writes(audit.calls(bench.plane.audit_log)).values())
        if now != size:
            size, last = now, time.monotonic()
    return round(last - began, 1)


def spread(seconds: list[float], expected: int) -> JSON:
    """Return the usual figures of a list of times, and how many there are of those expected."""
    if len(seconds) < 2:
        return {"n": len(seconds), "of": expected}
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    figures = {"p50": cuts[49], "p99": cuts[98], "max": max(seconds)}
    return {"n": len(seconds), "of": expected, **{name: round(value, 3) for name, value in figures.items()}}


def _busy(before: Any) -> int:
    after = psutil.cpu_times()
    total = sum(after) - sum(before)
    return round(100 * (1 - (after.idle - before.idle) / total)) if total else 0


SCENARIOS: dict[str, Callable[[Bench], Awaitable[JSON]]] = {
    "empty": empty,
    "writes": writes,
    "rate": rate,
    "many": many,
}
#: Bar -> where its figure is, and what it must not exceed.
BARS = {
    "ready in an empty cluster, s": ("empty.readySeconds", 3),
    "idle memory in an empty cluster, MiB": ("empty.rssMiB", 120),
    "S1 object to Job, p99 s": ("rate.objectToJob.p99", 1),
    "S1 pod to status, p99 s": ("rate.runningToStatus.p99", 2),
    "S2 ready, s": ("many.readySeconds", 15),
    "S2 memory, MiB": ("many.rssMiB", 300),
    "S2 idle CPU, %": ("many.cpuPercent", 3),
    "S2 idle writes": ("many.idleWrites", 0),
    "S3 writes of a job": ("writes.trained.writes", 8),
}


def verdicts(figures: JSON) -> JSON:
    """Return each bar with its figure, the limit, and their ratio; those not measured are left out."""
    found = {}
    for bar, (path, limit) in BARS.items():
        value: Any = figures
        for step in path.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        if value is not None:
            ratio = round(value / limit, 2) if limit else None
            found[bar] = {"figure": value, "limit": limit, "ratio": ratio, "held": value <= limit}
    return found


def by_bar(found: JSON) -> JSON:
    """Return S1, S2 and S3 as `make chaos` tells bars: held or not, and the figures in a line."""
    told: JSON = {}
    for name in ("S1", "S2", "S3"):
        if parts := {bar: entry for bar, entry in found.items() if bar.startswith(name)}:
            lines = [f"{bar[3:]} {entry['figure']} (<= {entry['limit']})" for bar, entry in parts.items()]
            told[name] = {"held": all(entry["held"] for entry in parts.values()), "figure": ", ".join(lines)}
    return told


def _stage_seconds(pod: JSON) -> float | None:
    """Pods of the namespace `busy` run on; the others end after a moment."""
    return None if pod["metadata"]["namespace"] == "busy" else STAGES_RUN_SECONDS


async def measured(size: Size, chosen: list[str], folder: Path) -> JSON:
    """Start a world, run the scenarios in it, stop it."""
    plane = AuditedPlane(folder / "plane")
    await plane.start()
    operator = None
    try:
        async with KubeClient(plane.admin()) as client:
            await install_definitions(client)
            for name in ("lives", "busy", "many"):
                await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            kubelet = HollowKubelet(client, plane.pki, _stage_seconds)
            await kubelet.start()
            operator = MeasuredOperator(plane.operator_kubeconfig(), folder)
            figures: JSON = {}
            for name in chosen:
                figures[name] = await SCENARIOS[name](Bench(size, plane, client, kubelet, operator))
                print(f"{name:7} {json.dumps(figures[name])}", flush=True)
                await operator.stop()
                await _clear(client)
            await kubelet.stop()
    finally:
        if operator is not None:
            await operator.stop()
        await plane.stop()
    return figures


async def _clear(client: KubeClient) -> None:
    """Delete what a scenario made, and wait until its pods are gone."""
    deadline = time.monotonic() + 300
    for resource in (FINE_TUNE_JOBS, EVAL_RUNS):
        for namespace in ("lives", "busy", "many"):
            while (await client.list(resource, namespace))[0]:
                assert time.monotonic() < deadline, "the objects of the scenario before are still there after 300 s"
                with contextlib.suppress(*UNREACHABLE):  # so many take longer than a call may: the server goes on
                    await client.request("DELETE", resource.path(namespace))
    while (await client.list(JOBS))[0]:
        assert time.monotonic() < deadline, "the Jobs of the scenario before are still there after 300 s"
        await asyncio.sleep(1)


def main() -> int:
    """Run what the environment asks for; 1 when a bar is not held."""
    if absent := missing():
        print(f"KUBEBUILDER_ASSETS must name a folder with {', '.join(absent)}", file=sys.stderr)
        return 2
    size = QUICK if os.environ.get("QUICK") else FULL
    chosen = os.environ.get("SCENARIOS", " ".join(SCENARIOS)).split()
    if unknown := [name for name in chosen if name not in SCENARIOS]:
        print(f"SCENARIOS: {', '.join(unknown)}: choose from {', '.join(SCENARIOS)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(measured(size, chosen, Path(folder)))
    bars = verdicts(figures)
    machine = {"cores": psutil.cpu_count(), "python": platform.python_version(), "quick": size is QUICK}
    print(json.dumps({"machine": machine, **figures, "bars": bars, **by_bar(bars)}))
    return 0 if all(bar["held"] for bar in bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
